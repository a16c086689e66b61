package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tallystick/tallystick/internal/provision"
)

func TestNothingIsRedirected(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc(provision.Path, func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/v1/", func(http.ResponseWriter, *http.Request) {})
	h := direct(mux)
	for path, want := range map[string]int{
		provision.Path:                          http.StatusOK,
		provision.Path + "?wsdl":                http.StatusOK,
		"/v1/":                                  http.StatusOK,
		provision.Path + "/":                    http.StatusNotFound,
		"/" + provision.Path:                    http.StatusNotFound,
		"/ctkip//services/CtkipService":         http.StatusNotFound,
		"/ctkip/./services/CtkipService":        http.StatusNotFound,
		"/x/../ctkip/services/CtkipService":     http.StatusNotFound,
		"/x/%2e%2e/ctkip/services/CtkipService": http.StatusNotFound,
		"/":                                     http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if w.Code != want {
			t.Errorf("%s: status %d, want %d", path, w.Code, want)
		}
	}
}
