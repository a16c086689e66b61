package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// An answer is what a handler has to say. Kept for an idempotency key, it is its own JSON.
type answer struct {
	Status   int    `json:"status"`
	Type     string `json:"type,omitempty"` // of the body
	ETag     string `json:"etag,omitempty"`
	Location string `json:"location,omitempty"`
	Body     []byte `json:"body,omitempty"`

	serial string // of the token whose seed is in Body, "" if none is
}

// reply answers with a JSON document.
func reply(status int, document any) (answer, error) {
	body, err := json.Marshal(document)
	return answer{Status: status, Type: "application/json", Body: body}, err
}

func ok(document any) (answer, error) { return reply(http.StatusOK, document) }

// done answers that there is nothing to say.
func done(err error) (answer, error) { return answer{Status: http.StatusNoContent}, err }

// versioned answers with a record: its version is the ETag.
func versioned(status, version int, document any) (answer, error) {
	out, err := reply(status, document)
	out.ETag = strconv.Quote(strconv.Itoa(version))
	return out, err
}

// created answers with a new record and where it is.
func created(location string, version int, document any) (answer, error) {
	out, err := versioned(http.StatusCreated, version, document)
	out.Location = location
	return out, err
}

// at is the path of a record.
func at(collection, name string) string { return "/v1/" + collection + "/" + url.PathEscape(name) }

func (o answer) write(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range map[string]string{"Content-Type": o.Type, "ETag": o.ETag, "Location": o.Location} {
		if value != "" {
			h.Set(name, value)
		}
	}
	w.WriteHeader(o.Status)
	w.Write(o.Body) // a caller who left is no concern of ours
}
