package ctkip

import (
	"fmt"
	"strings"
)

// This file holds what both sides of RSA's dialect share: the SOAP envelope with its three fields,
// the fault, and the little text in which a client describes itself (ct-kip.md, 3).

const (
	macAES2005x11 = ns2005x11 + "ct-kip-prf-aes"
	macAES2005x12 = ns2005x12 + "ct-kip-prf-aes"
)

const soapNamespaces = `xmlns:soapenv="` + nsSOAP + `" xmlns:xsd="` + nsSchema + `" xmlns:xsi="` + nsXSI + `"`

// The envelopes' white space is that of programs which RSA's servers and apps are known to accept.
const (
	requestEnvelope = declaration + `
      <soapenv:Envelope ` + soapNamespaces + `>
        <soapenv:Body>
          <ClientRequest xmlns="` + nsService + `">
            <AuthData >%s</AuthData>
            <ProvisioningData>%s
</ProvisioningData>
            <Request>%s
</Request>
          </ClientRequest>
        </soapenv:Body>
      </soapenv:Envelope>`

	answerEnvelope = declaration + `
<soapenv:Envelope ` + soapNamespaces + `>
  <soapenv:Body>
    <ServerResponse xmlns="` + nsService + `">
      <AuthData>%s</AuthData>
      <ProvisioningData>%s
</ProvisioningData>
      <Response>%s
</Response>
    </ServerResponse>
  </soapenv:Body>
</soapenv:Envelope>`

	faultEnvelope = declaration + `
<soapenv:Envelope ` + soapNamespaces + `>
  <soapenv:Body>
    <soapenv:Fault>
      <faultcode>soapenv:Server.userException</faultcode>
      <faultstring>%s</faultstring>
    </soapenv:Fault>
  </soapenv:Body>
</soapenv:Envelope>`
)

// seal puts a message into one of the two envelopes.
func seal(envelope string, code Code, provisioningData, message string) []byte {
	return fmt.Appendf(nil, envelope, escape(string(code)), encode64([]byte(provisioningData)), encode64([]byte(message)))
}

// open reads an envelope and returns the one element in its body.
func open(body []byte) (*node, error) {
	root, err := parseXML(body, MaxBody)
	if err != nil {
		return nil, err
	}
	content := root.child(nsSOAP, "Body")
	if !root.is(nsSOAP, "Envelope") || content == nil || len(content.children) != 1 {
		return nil, formatError("not a SOAP envelope with one element")
	}
	return content.children[0], nil
}

// openMessage reads the message that a field of the envelope carries.
func openMessage(field *node) (*node, error) {
	inner, ok := field.base64()
	if !ok {
		return nil, formatError("the envelope carries no base64 message")
	}
	return parseXML(inner, MaxMessage)
}

// A Fault is a refusal in place of an answer; of a code above all. To a client it is an error.
type Fault struct {
	Class   string // of the server's exception, such as com.rsa.command.exception.InsufficientPrivilegeException
	Message string // for people
}

// InvalidCode refuses a code. It is the same for one that is unknown, expired, used, revoked or
// locked, and for one that header and body give differently.
var InvalidCode = Fault{"com.rsa.command.exception.InsufficientPrivilegeException", "Invalid authorization code."}

// Unavailable is the fault of a server that cannot serve anybody at the moment.
var Unavailable = Fault{"ServiceUnavailableException", "Try again later."}

func (f *Fault) Error() string {
	if f.Class == "" {
		return fmt.Sprintf("ctkip: the server refused: %s", f.Message)
	}
	return fmt.Sprintf("ctkip: the server refused: %s: %s", f.Class, f.Message)
}

// IsFault tells whether the body of an answer is a fault. SOAP 1.1 has servers send faults with HTTP
// status 500: give a client no other body that came with it.
func IsFault(body []byte) bool {
	answer, err := open(body)
	return err == nil && answer.is(nsSOAP, "Fault")
}

const nested = "nested exception is:"

// Body is the fault as the body of an answer, to be sent with HTTP status 200: clients in the
// field do not read the body of any other (ct-kip.md, 3.4).
func (f Fault) Body() []byte {
	exception := f.Class + ": " + f.Message
	return fmt.Appendf(nil, faultEnvelope,
		"java.rmi.RemoteException: The CT-KIP Web Service failed to process a client request. "+
			escape(exception)+";"+nested+" \n\t"+escape(exception))
}

// readFault takes class and message from the last exception that the fault names. The server may
// have put anything there: it is cut and cleaned, and the code is taken out.
func readFault(fault *node, code Code) *Fault {
	text := fault.child("", "faultstring").value()
	if code != "" {
		text = strings.ReplaceAll(text, string(code), "(code)")
	}
	if i := strings.LastIndex(text, nested); i >= 0 {
		if class, message, ok := strings.Cut(text[i+len(nested):], ": "); ok {
			return &Fault{Class: clean(class, 200), Message: clean(message, 500)}
		}
	}
	return &Fault{Message: clean(text, 500)}
}

// A Device is what a client says about itself in the provisioning data. Nothing authenticates it.
type Device struct {
	Version      string // of the app
	Manufacturer string // of the app
	FormFactor   string // such as Android; empty on a desktop

	// SerialNumber identifies the device for a code that is bound to one. Only apps of this project
	// send it (ct-kip.md, 8.9).
	SerialNumber string
}

// provisioningData is the text of a client that does as RSA's desktop app does.
func (d Device) provisioningData() string {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0"?><ProvisioningData>`)
	for _, e := range []struct{ name, value string }{
		{"Version", d.Version}, {"Manufacturer", d.Manufacturer}, {"FormFactor", d.FormFactor}, {"DeviceSerialNumber", d.SerialNumber},
	} {
		switch {
		case e.value != "":
			fmt.Fprintf(&b, "<%s>%s</%s>", e.name, escape(e.value), e.name)
		case e.name == "FormFactor":
			b.WriteString("<FormFactor/>")
		}
	}
	b.WriteString(`</ProvisioningData>`)
	return b.String()
}

// parseDevice finds what it can. It looks for tags and does not parse XML, because Android apps
// send several elements without a root.
func parseDevice(data string) Device {
	return Device{
		Version:      pick(data, "Version"),
		Manufacturer: pick(data, "Manufacturer"),
		FormFactor:   pick(data, "FormFactor"),
		SerialNumber: pick(data, "DeviceSerialNumber"),
	}
}

var unescapes = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&quot;", `"`, "&apos;", "'", "&amp;", "&")

// pick is the text of the first element of that name, at most 128 characters of it, or "".
func pick(data, name string) string {
	_, rest, _ := strings.Cut(data, "<"+name+">")
	value, _, ok := strings.Cut(rest, "</"+name+">")
	if !ok {
		return ""
	}
	return clean(unescapes.Replace(value), 128)
}
