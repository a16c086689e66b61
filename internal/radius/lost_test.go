package radius

import (
	"errors"
	"net"
	"runtime"
	"strings"
	"testing"
)

// A socket that cannot be had, or is gone, is told of.
func TestSocketsThatAreNone(t *testing.T) {
	h := build(t, always(accept)).run()
	for _, address := range []string{h.at.LocalAddr().String(), "127.0.0.1:radius-of-nobody", "127.0.0.1"} {
		if _, err := Listen(address); err == nil || !strings.Contains(err.Error(), "listening for RADIUS") {
			t.Errorf("%s: %v", address, err)
		}
	}
	h.at.Close()
	if err := <-h.ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the server ends with %v", err)
	}
	h.ended <- nil
	if (socket{h.at, h.Server}).respond(&request{}, nil); !strings.Contains(h.said.String(), "could not be sent") {
		t.Errorf("the log says %s", h.said)
	}
}

// Packets that the system drops before they are read are counted, and the log says so once. Answers still go out.
func TestPacketsThatTheSystemDrops(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux tells")
	}
	for _, address := range []string{"127.0.0.1:0", ":0"} { // the control messages of IPv4, and of both
		h := build(t, always(accept), vpn("vpn1", "127.0.0.1/32"))
		h.at = listen(t, address)
		gw := h.gatewayAt("127.0.0.1", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: h.at.LocalAddr().(*net.UDPAddr).Port})
		if err := h.at.SetReadBuffer(1); err != nil {
			t.Fatal(err)
		}
		const flood = 100
		for i := range byte(flood) { // nobody reads yet
			gw.send(login(i, "alice", "123456"))
		}
		if err := h.at.SetReadBuffer(receiveBuffer); err != nil {
			t.Fatal(err)
		}
		gw.send(login(flood, "alice", "123456"))
		h.run()
		became := map[Outcome]int{}
		for range flood + 1 {
			became[h.outcome()]++
		}
		if became[Lost] == 0 || became[Lost]+became[Accepted] != flood+1 {
			t.Errorf("%s: %v", address, became)
		}
		for range became[Accepted] {
			gw.receive()
		}
		if n := strings.Count(h.said.String(), "net.core.rmem_max"); n != 1 {
			t.Errorf("%s: the log says so %d times: %s", address, n, h.said)
		}
	}
}
