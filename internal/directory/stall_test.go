package directory

import (
	"bufio"
	"crypto/tls"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"github.com/tallystick/tallystick/internal/fault"
)

// piped is a connection to a server that answers each request as it is told to.
func piped(t *testing.T, answer func(id int64, write func(*ber.Packet))) *ldap.Conn {
	ours, theirs := net.Pipe()
	conn := ldap.NewConn(ours, false)
	conn.SetTimeout(requestTimeout)
	conn.Start()
	go func() {
		in := bufio.NewReader(theirs)
		for {
			asked, err := ber.ReadPacket(in)
			if err != nil {
				return
			}
			answer(asked.Children[0].Value.(int64), func(p *ber.Packet) { _, _ = theirs.Write(p.Bytes()) })
		}
	}()
	t.Cleanup(func() { conn.Close(); theirs.Close() })
	return conn
}

// success is the end of an answer, with controls.
func success(id int64, application ber.Tag, controls ...ldap.Control) *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	done := ber.Encode(ber.ClassApplication, ber.TypeConstructed, application, nil, "")
	done.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 0, ""))
	done.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	done.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
	p.AppendChild(done)
	if len(controls) > 0 {
		all := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		for _, c := range controls {
			all.AppendChild(c.Encode())
		}
		p.AppendChild(all)
	}
	return p
}

// A directory that says that TLS may begin, and then nothing, is not waited for.
func TestStartTLSThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := 0
		conn := piped(t, func(id int64, write func(*ber.Packet)) {
			if answered++; answered == 1 {
				write(success(id, ldap.ApplicationExtendedResponse))
			}
		})
		if err := startTLS(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "ldap.example.com"}); err == nil {
			t.Error("TLS began")
		}
	})
}

// Nor is one whose pages come in time and have no end.
func TestReadingWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		more := &ldap.ControlPaging{Cookie: []byte("more")}
		conn := piped(t, func(id int64, write func(*ber.Packet)) {
			time.Sleep(requestTimeout / 2) // of the bubble: no time passes
			write(success(id, ldap.ApplicationSearchResultDone, more))
		})
		l := &line{Conn: conn, d: Directory{Name: "hq", Settings: Settings{BaseDN: "dc=example", Filter: "(uid=*)", PageSize: 1}}}
		if _, err := l.read(); !errors.Is(err, fault.DirectoryUnreachable) {
			t.Errorf("%v", err)
		}
		time.Sleep(requestTimeout) // likewise: the server has noticed
	})
}
