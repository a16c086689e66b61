package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"

	"filippo.io/age"
	"github.com/getkin/kin-openapi/openapi3"

	"github.com/tallystick/tallystick/internal/fault"
)

// formType is the type of bodies with a file: two parts, order and file, in this order. They are read as they come.
const formType = "multipart/form-data"

// orderPart is the schema of the part order; nil if the operation takes no file.
func orderPart(op *openapi3.Operation) *openapi3.Schema {
	if op.RequestBody == nil {
		return nil
	}
	form := op.RequestBody.Value.Content.Get(formType)
	if form == nil {
		return nil
	}
	return form.Schema.Value.Properties["order"].Value
}

// acceptFile reads the part order and holds it against the contract. The file is left to the handler, which reads it with [API.spool].
func (op *operation) acceptFile(r *http.Request) (*request, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != formType {
		return nil, fault.New(fault.Invalid, "this request takes a body with Content-Type: %s", formType)
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, fault.New(fault.Invalid, "the body is no %s", formType)
	}
	order, err := next(parts, "order")
	if err != nil {
		return nil, err
	}
	in := &request{Request: r}
	if in.body, err = io.ReadAll(io.LimitReader(order, bodyLimit+1)); err != nil {
		return nil, errBroke
	}
	if len(in.body) > bodyLimit {
		return nil, fault.New(fault.TooLarge, "the part order of this request takes up to %d bytes", bodyLimit)
	}
	var value any
	if json.Unmarshal(in.body, &value) != nil {
		return nil, fault.New(fault.Invalid, "the part order is no JSON document")
	}
	if err := op.order.VisitJSON(value); err != nil {
		return nil, broken(err)
	}
	if err := readOneWay(in.body); err != nil {
		return nil, err
	}
	in.file, err = next(parts, "file")
	return in, err
}

// next is the next part of a form.
func next(parts *multipart.Reader, name string) (*multipart.Part, error) {
	part, err := parts.NextPart()
	if err == nil && part.FormName() == name {
		return part, nil
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errBroke
	}
	return nil, fault.New(fault.Invalid, "the part %s is missing: the body has the parts order and file, in this order", name).With("rule", "required")
}

var errBroke = fault.New(fault.Invalid, "the body did not arrive whole")

// A spool is a file that was uploaded, on disk and not in memory. It may hold seeds in the clear, so it is sealed with a key that only this
// value has, and it has no name: with the server, it is gone.
type spool struct {
	file *os.File
	key  *age.X25519Identity
}

// spool takes the file of a request off the network. Whoever got it closes it.
func (a *API) spool(r *request) (*spool, error) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, err
	}
	file, err := os.CreateTemp(a.Spool, "upload-*")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(file.Name()) // where an open file cannot be removed, Close does it
	s := &spool{file, key}
	if err := s.fill(r.file, a.UploadLimit); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *spool) fill(from io.Reader, limit int64) error {
	sealed, err := age.Encrypt(s.file, s.key.Recipient())
	if err != nil {
		return err
	}
	source := &source{Reader: from}
	n, err := io.Copy(sealed, io.LimitReader(source, limit+1))
	switch {
	case source.failed != nil:
		return errBroke
	case err != nil:
		return err
	case n > limit:
		return fault.New(fault.TooLarge, "a file of up to %d bytes is taken: split it, or start the server with a higher --upload-limit", limit)
	case n == 0:
		return fault.New(fault.Invalid, "the file is empty")
	}
	return sealed.Close()
}

// A source remembers whether it was reading that failed, and not writing.
type source struct {
	io.Reader
	failed error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// Open begins to read the file.
func (s *spool) Open() (io.Reader, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return age.Decrypt(s.file, s.key)
}

// Close destroys the file.
func (s *spool) Close() {
	_ = s.file.Close()
	_ = os.Remove(s.file.Name()) //nolint:gosec // the name is that of os.CreateTemp
}

// uploaded decodes the order of a request, spools its file and has do work with both.
func uploaded[T any](ctx context.Context, a *API, r *request, do func(ctx context.Context, in T, file func() (io.Reader, error)) (answer, error)) (answer, error) {
	in, err := decode[T](r)
	if err != nil {
		return answer{}, err
	}
	s, err := a.spool(r)
	if err != nil {
		return answer{}, err
	}
	defer s.Close()
	if err := a.Keys.Still(ctx); err != nil { // the key may be deleted since the file began to arrive
		return answer{}, err
	}
	return do(ctx, in, s.Open)
}
