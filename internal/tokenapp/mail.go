package tokenapp

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
)

// What is looked at of a mail from elsewhere.
const (
	maxMailDepth = 8 // of parts within parts
	maxMailParts = 100
)

// mailParts are the texts and attachments of a mail as mail programs save it,
// decoded; of what is no mail there are none.
func mailParts(data []byte) [][]byte {
	return message(bytes.TrimLeft(data, "\ufeff \t\r\n"), maxMailDepth)
}

func message(data []byte, depth int) [][]byte {
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil {
		return nil
	}
	return bodies(textproto.MIMEHeader(m.Header), m.Body, depth)
}

// bodies are those below a header. What is cut or badly encoded ends there.
func bodies(header textproto.MIMEHeader, body io.Reader, depth int) (all [][]byte) {
	if depth == 0 {
		return nil
	}
	kind, parameters, _ := mime.ParseMediaType(header.Get("Content-Type")) // without one it is text
	if strings.HasPrefix(kind, "multipart/") {
		parts := multipart.NewReader(body, parameters["boundary"])
		for len(all) < maxMailParts {
			part, err := parts.NextRawPart()
			if err != nil {
				break
			}
			all = append(all, bodies(part.Header, part, depth-1)...)
		}
		return all[:min(len(all), maxMailParts)]
	}
	switch strings.ToLower(strings.TrimSpace(header.Get("Content-Transfer-Encoding"))) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	content, _ := io.ReadAll(body) // up to what is wrong with it
	if kind == "message/rfc822" {  // forwarded whole
		return message(content, depth-1)
	}
	return [][]byte{content}
}
