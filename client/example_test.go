package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tallystick/tallystick/client"
)

// A user gets the next available token, as a string to be imported by an app.
func Example() {
	server := pretend()
	defer server.Close()
	ctx := context.Background()

	c, err := client.New(server.URL, "tsk_...", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	token, err := c.AssignNext(ctx, "alice")
	var refused *client.Error
	if errors.As(err, &refused) && refused.Code == "NO_TOKEN_AVAILABLE" {
		fmt.Println("make some tokens first")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := c.Distribute(ctx, token.Serial, client.Distribution{Profile: "android", Password: "correct horse"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("token", out.Serial, "by", out.Delivery.Method)
	fmt.Println(out.Delivery) // does not show
	// Output:
	// token 000123456789 by ctf
	// delivery(ctf, hidden)
}

// pretend is a server for the example.
func pretend() *httptest.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/tokens/assign-next", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(client.Token{Serial: "000123456789", UserID: "alice"})
	})
	mux.HandleFunc("POST /v1/tokens/{serial}/distribute", func(w http.ResponseWriter, r *http.Request) {
		json.NewEncoder(w).Encode(client.Issue{Serial: r.PathValue("serial"), Delivery: client.Delivery{Method: "ctf", CTF: "2..."}})
	})
	return httptest.NewServer(mux)
}
