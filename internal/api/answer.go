package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// An answer is what a handler has to say. Kept for an idempotency key, it is its own JSON.
type answer struct {
	Status   int    `json:"status"`
	Type     string `json:"type,omitempty"` // of the body
	ETag     string `json:"etag,omitempty"`
	Location string `json:"location,omitempty"`
	Body     []byte `json:"body,omitempty"`

	serial     string                // of the token whose seed is in Body, "" if none is
	generation int                   // of that seed
	stream     func(io.Writer) error // writes the body as it comes, in place of Body; nil for none
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

// record answers with a record that a call returned, or refused.
func record[T, D any](v T, version int, document func(T) D, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return versioned(http.StatusOK, version, document(v))
}

// created answers with a new record and where it is.
func created(location string, version int, document any) (answer, error) {
	out, err := versioned(http.StatusCreated, version, document)
	out.Location = location
	return out, err
}

// at is the path of a record.
func at(collection, name string) string {
	part := url.PathEscape(name)
	if name == "." || name == ".." { // would be taken for a step in the path
		part = strings.ReplaceAll(name, ".", "%2E")
	}
	return "/v1/" + collection + "/" + part
}

func (o answer) write(w http.ResponseWriter) {
	h := w.Header()
	for name, value := range map[string]string{"Content-Type": o.Type, "ETag": o.ETag, "Location": o.Location} {
		if value != "" {
			h.Set(name, value)
		}
	}
	w.WriteHeader(o.Status)
	if o.stream == nil {
		w.Write(o.Body) // a caller who left is no concern of ours
		return
	}
	if err := o.stream(flowing{w, http.NewResponseController(w)}); err != nil {
		panic(http.ErrAbortHandler) // the caller must not take what came for the whole
	}
}

// flowing sends each write at once, and gives a reader time for each of them rather than for all.
type flowing struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (f flowing) Write(b []byte) (int, error) {
	// Some writers, such as those of tests, know no deadline.
	if err := f.control.SetWriteDeadline(time.Now().Add(sendWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := f.ResponseWriter.Write(b)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
