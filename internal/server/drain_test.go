package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/server"
)

// A request that is being answered when SIGTERM comes gets its answer; what it did is there afterwards. New ones are
// not taken, and the server ends well.
func TestDrain(t *testing.T) {
	p := start(t, folder(t))
	conn, err := net.Dial("unix", server.SocketPath(p.data))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const body = `{"count":3}`
	// The server says "100 Continue" when the handler begins to read the body: that is in the middle of the request.
	fmt.Fprintf(conn, "POST /v1/tokens HTTP/1.1\r\nHost: tallystick\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	answers := bufio.NewReader(conn)
	middle, err := http.ReadResponse(answers, nil)
	if err != nil || middle.StatusCode != http.StatusContinue {
		t.Fatalf("%v, %v: the server does not ask for the body", middle, err)
	}

	p.terminate()
	poll(t, "the server to take no more requests", func() bool {
		again, err := net.Dial("unix", server.SocketPath(p.data))
		if err == nil {
			again.Close()
		}
		return err != nil
	})
	if p.ended() {
		t.Fatal("the server has ended in the middle of a request")
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(answers, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var made client.CreatedTokens
	if err := json.NewDecoder(answer.Body).Decode(&made); err != nil || answer.StatusCode != http.StatusCreated || len(made.Serials) != 3 {
		t.Errorf("%s, %v, %v", answer.Status, made, err)
	}
	if status := p.exit(); status != 0 {
		t.Errorf("exit status %d", status)
	}

	p = start(t, p.data)
	for _, serial := range made.Serials {
		if _, err := p.admin().Token(t.Context(), serial); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkStart is how long a server takes until it serves: on a new folder, where it makes its keys, and on a used one.
func BenchmarkStart(b *testing.B) {
	for _, used := range []bool{false, true} {
		b.Run(fmt.Sprintf("used=%v", used), func(b *testing.B) {
			data := folder(b)
			if used {
				start(b, data).kill()
			}
			b.ResetTimer()
			for b.Loop() {
				p := start(b, data)
				b.StopTimer()
				p.kill()
				if !used {
					if err := os.RemoveAll(data); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
			}
		})
	}
}
