package directorytest

import (
	"crypto/tls"
	"encoding/pem"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/jimlambrt/gldap"
)

// Imitated starts a server that does what slapd does not: bind gives the result of a bind, and search the attributes of entries by their names.
// It returns its URL and the certificate, PEM, of its authority.
func Imitated(t *testing.T, bind func(*gldap.SimpleBindMessage) int, search func(*gldap.SearchMessage) map[string]map[string][]string) (url, ca string) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // has a certificate
	t.Cleanup(web.Close)
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	mux, err := gldap.NewMux()
	must(err)
	must(mux.Bind(func(w *gldap.ResponseWriter, r *gldap.Request) {
		m, err := r.GetSimpleBindMessage()
		if err != nil {
			return
		}
		_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(bind(m))))
	}))
	must(mux.Search(func(w *gldap.ResponseWriter, r *gldap.Request) {
		m, err := r.GetSearchMessage()
		if err != nil {
			return
		}
		for dn, attributes := range search(m) {
			_ = w.Write(r.NewSearchResponseEntry(dn, gldap.WithAttributes(attributes)))
		}
		_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(gldap.ResultSuccess)))
	}))
	server, err := gldap.NewServer()
	must(err)
	must(server.Router(mux))
	address, err := Free()
	must(err)
	go func() {
		_ = server.Run(address, gldap.WithTLSConfig(&tls.Config{MinVersion: tls.VersionTLS12, Certificates: web.TLS.Certificates}))
	}()
	t.Cleanup(func() { _ = server.Stop() })
	for !server.Ready() {
		time.Sleep(time.Millisecond) // there is nothing that tells
	}
	return "ldaps://" + address, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw}))
}
