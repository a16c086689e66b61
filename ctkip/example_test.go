package ctkip_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"github.com/tallystick/tallystick/ctkip"
)

// Both sides of an exchange in RSA's dialect. Between them are two HTTPS requests, whose bodies
// are handed over here.
func Example() {
	key, err := rsa.GenerateKey(rand.Reader, 2048) // one for an installation
	if err != nil {
		panic(err)
	}

	// The app starts with what a link or a QR code has told it.
	link, err := ctkip.ParseLink("com.rsa.securid://ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=123456789012")
	if err != nil {
		panic(err)
	}
	app := ctkip.Client{Code: link.Code}
	request, err := app.Start()
	if err != nil {
		panic(err)
	}

	// The server knows the code, opens a session and remembers it.
	hello, err := ctkip.ParseRequest(request.Body, request.Header["Authorization"])
	if err != nil {
		panic(err)
	}
	session, err := ctkip.NewSessionID(nil)
	if err != nil {
		panic(err)
	}
	serverNonce, err := ctkip.NewNonce(nil)
	if err != nil {
		panic(err)
	}
	answer := hello.ServerHello(session, &key.PublicKey, serverNonce)

	// The app checks the answer and sends its share of the seed, encrypted.
	request, err = app.Answer(answer)
	if err != nil {
		panic(err)
	}

	// The server derives the seed, stores it, uses up the code, and says which token it is.
	nonce, err := ctkip.ParseRequest(request.Body, request.Header["Authorization"])
	if err != nil || nonce.SessionID != session || !nonce.Echoes(serverNonce) {
		panic("not that session")
	}
	clientNonce, err := ctkip.Decrypt(key, nonce.EncryptedNonce)
	if err != nil {
		panic(err)
	}
	seed, mac := ctkip.Derive(&key.PublicKey, clientNonce, serverNonce)
	answer, err = nonce.ServerFinished(ctkip.Finished{
		SessionID: session, Serial: "000123456789", Expiry: time.Date(2031, 1, 31, 0, 0, 0, 0, time.UTC),
		Service: "Example", UserID: "ann", Digits: 8, Interval: 60, AddPIN: true, MAC: mac,
	})
	if err != nil {
		panic(err)
	}

	// The app has a token, and both have the same seed.
	token, err := app.Finish(answer)
	if err != nil {
		panic(err)
	}
	fmt.Println(token, "of", token.UserID, "until", token.Expiry.Format(time.DateOnly))
	fmt.Println(token.Digits, "digits,", token.Interval, "seconds, PIN", token.AddPIN)
	fmt.Println("same seed:", bytes.Equal(token.Seed, seed))
	// Output:
	// token 000123456789 of ann until 2031-01-31
	// 8 digits, 60 seconds, PIN true
	// same seed: true
}

func ExampleFault() {
	app := ctkip.Client{Code: "000000000000"}
	if _, err := app.Start(); err != nil {
		panic(err)
	}
	_, err := app.Answer(ctkip.InvalidCode.Body()) // what a server sends for a code it refuses
	var fault *ctkip.Fault
	if errors.As(err, &fault) {
		fmt.Println(fault.Message)
	}
	// Output: Invalid authorization code.
}

func ExampleParseLink() {
	link, err := ctkip.ParseLink("com.rsa.securid://ctkip?scheme=http&url=localhost:8080/ctkip/services/CtkipService")
	fmt.Println(link.URL, link.Code == "", errors.Is(err, ctkip.ErrInsecure))
	// Output: http://localhost:8080/ctkip/services/CtkipService true true
}

func ExampleLink_Text() {
	link := ctkip.Link{URL: "https://auth.example.com:7004/ctkip/services/CtkipService", Code: "123456789012"}
	fmt.Println(link.Text(ctkip.AppScheme)) // for a QR code
	// Output: com.rsa.securid://ctkip?scheme=https&url=auth.example.com:7004/ctkip/services/CtkipService&activationCode=123456789012
}

// The standard form, where a logged-in user is sent a trigger instead of a code.
func ExampleStandardClient() {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	nonce := ctkip.TriggerNonce("123456789012")
	trigger, err := ctkip.ParseTrigger(ctkip.Trigger{Nonce: &nonce}.Body())
	if err != nil {
		panic(err)
	}
	app := ctkip.StandardClient{Trigger: trigger}
	request, err := app.Start()
	if err != nil {
		panic(err)
	}

	hello, err := ctkip.ParseStandard(request.Body)
	if err != nil || !hello.TriggerNonce.Equal(nonce) {
		panic("not that trigger")
	}
	encryption, prf, _ := hello.Agree(false)
	session := ctkip.Session{ID: "1234", PRF: prf, Encryption: encryption, PublicKey: &key.PublicKey}
	if session.ServerNonce, err = ctkip.NewNonce(nil); err != nil {
		panic(err)
	}
	request, err = app.Answer(hello.ServerHello(&session, nil))
	if err != nil {
		panic(err)
	}

	message, err := ctkip.ParseStandard(request.Body)
	if err != nil || message.SessionID != session.ID {
		panic("not that session")
	}
	clientNonce, err := session.Decrypt(key, message.EncryptedNonce)
	if err != nil {
		panic(err)
	}
	seed, mac := session.Derive(clientNonce)
	answer, err := message.ServerFinished(&session, []byte("000123456789/1"), ctkip.Finished{
		Serial: "000123456789", Expiry: time.Date(2031, 1, 31, 0, 0, 0, 0, time.UTC), Digits: 6, Interval: 30, MAC: mac,
	})
	if err != nil {
		panic(err)
	}
	token, err := app.Finish(answer)
	fmt.Println(token, bytes.Equal(token.Seed, seed), err)
	// Output: token 000123456789 true <nil>
}
