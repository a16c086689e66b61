package api

import (
	"bytes"
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"golang.org/x/sync/semaphore"

	"github.com/tallystick/tallystick/internal/fault"
)

//go:embed openapi.yaml
var openAPI []byte

// A contract is openapi.yaml, read.
type contract struct {
	document *openapi3.T
	turn     chan struct{}       // who holds a long body against it: one at a time, since that takes a hundred times the memory of others
	room     *semaphore.Weighted // for long bodies, bytes
	patience time.Duration       // of a request that waits for room
	stall    time.Duration       // for which nothing may come of a long body
}

// loadContract reads it once: that takes longer than all else that makes an API.
var loadContract = sync.OnceValues(func() (*contract, error) {
	// IDs are compared as they are written: what is no ID would be before, or after, all of them.
	openapi3.DefineStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`))
	document, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := document.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	return newContract(document), nil
})

func newContract(document *openapi3.T) *contract {
	return &contract{document, make(chan struct{}, 1), semaphore.NewWeighted(roomForBodies), roomWithin, stallWithin}
}

// An operation is what the contract says of one route.
type operation struct {
	routers.Route
	*contract
	limit int64            // of the body, bytes
	order *openapi3.Schema // of the first part of a body with a file; nil if it has none
	slow  bool             // another server is asked, which takes its time
	job   bool             // it starts one, of which the items are stored before it is answered
}

// bodyLimit is the largest body that is read, unless the operation says x-body-limit.
const bodyLimit = 64 << 10

// operation finds what the contract says of a route's pattern.
func (c *contract) operation(pattern string) (*operation, error) {
	method, path, _ := strings.Cut(pattern, " ")
	item := c.document.Paths.Value(path)
	if item == nil || item.GetOperation(method) == nil {
		return nil, fmt.Errorf("openapi.yaml does not have %s", pattern)
	}
	op := &operation{contract: c, limit: bodyLimit, Route: routers.Route{
		Spec: c.document, Path: path, PathItem: item, Method: method, Operation: item.GetOperation(method),
	}}
	op.order = orderPart(op.Operation)
	if limit, ok := op.Operation.Extensions["x-body-limit"].(float64); ok {
		op.limit = int64(limit)
	}
	op.slow, _ = op.Operation.Extensions["x-slow"].(bool)
	if made := op.Operation.Responses.Value("201"); made != nil {
		body := made.Value.Content.Get("application/json")
		op.job = body != nil && body.Schema.Ref == "#/components/schemas/Job"
	}
	return op, nil
}

// A request is one that keeps to the contract.
type request struct {
	*http.Request
	body    []byte
	file    io.Reader // of a body with a file; it is read by [API.spool]
	version int       // of If-Match; 0 for any
}

// accept reads a request and holds it against the contract. Refusals name the member and the rule, never the value.
func (op *operation) accept(w http.ResponseWriter, r *http.Request) (*request, error) {
	if err := op.promises(r); err != nil {
		return nil, err
	}
	if op.order != nil {
		return op.acceptFile(r)
	}
	var read bytes.Buffer
	if r.ContentLength > 0 { // growing step by step leaves several times as much behind
		read.Grow(int(min(r.ContentLength, op.limit)) + bytes.MinRead)
	}
	_, err := read.ReadFrom(http.MaxBytesReader(w, r.Body, op.limit))
	body := read.Bytes()
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, op.tooLarge()
	case err != nil:
		return nil, fault.New(fault.Invalid, "the body did not arrive whole")
	case len(body) > 0 && op.Operation.RequestBody == nil:
		return nil, fault.New(fault.Invalid, "this request takes no body")
	case len(body) > bodyLimit:
		done, err := op.takeTurn(r.Context(), values(body))
		if err != nil {
			return nil, err
		}
		defer done()
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	err = openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, Route: &op.Route, PathParams: op.pathValues(r),
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	})
	if err != nil {
		return nil, broken(err)
	}
	if err := readOneWay(body); err != nil {
		return nil, err
	}
	in := &request{Request: r, body: body}
	in.version, _ = strconv.Atoi(strings.Trim(r.Header.Get("If-Match"), `"`)) // 0 for "*" and for none
	return in, nil
}

// Long bodies that a server has in memory at once, whoever sends them, are this long together; what comes beyond that waits unread, for a while.
const (
	roomForBodies = 64 << 20 // two of the longest
	roomWithin    = 15 * time.Second
	roomForJobs   = 20 // times as long, which those who start one wait anyway
)

func (op *operation) tooLarge() error {
	return fault.New(fault.TooLarge, "the body of this request takes up to %d bytes", op.limit)
}

// makeRoom waits until there is room for the body of a request, if it is a long one. Whoever has it gives it back by done, once the body is of no use
// any more. Of a body without a length as much is read first as a short one has.
func (op *operation) makeRoom(r *http.Request) (done func(), err error) {
	n := min(r.ContentLength, op.limit)
	if n < 0 { // it has no length
		n = op.limit
	}
	if n <= bodyLimit {
		return func() {}, nil
	}
	switch {
	case r.ContentLength > op.limit: // whoever waited would be refused in the end
		return nil, op.tooLarge()
	case r.ContentLength < 0:
		body := r.Body.(*coming)                                  // since it may be a long one
		start, _ := io.ReadAll(io.LimitReader(body, bodyLimit+1)) // what went wrong is told again
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(start), body), body}
		if len(start) <= bodyLimit {
			return func() {}, nil
		}
		body.rest()
	}
	within := op.patience
	if op.job {
		within *= roomForJobs
	}
	ctx, cancel := context.WithTimeout(r.Context(), within)
	defer cancel()
	if op.room.Acquire(ctx, n) != nil {
		return nil, cmp.Or(r.Context().Err(), error(errNoRoom))
	}
	return func() { op.room.Release(n) }, nil
}

var errNoRoom = fault.New(fault.ServiceBusy, "this server is at work on other requests with long bodies, and nothing of this one was done: send it again in a moment, or in smaller parts")

// mostValues is how many values a body holds at most: more than a list of any operation has room for. Some values take one byte in a body, and a hundred
// in memory, of which that of manyValues is not left lying about.
const (
	mostValues = 3_000_000
	manyValues = 500_000 // a body of fewer is read in less time than all memory is looked through
)

// takeTurn waits until no other long body is held against the contract, and refuses one of too many values. Whoever has the turn ends it by done.
func (op *operation) takeTurn(ctx context.Context, values int) (done func(), err error) {
	if values > mostValues {
		return nil, fault.New(fault.TooLarge, "the body of this request takes up to %d values", mostValues)
	}
	select {
	case op.turn <- struct{}{}:
		return func() {
			if values > manyValues { // a server collects its garbage late, and the next body would add to it
				runtime.GC()
			}
			<-op.turn
		}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// values counts the values of a JSON document, members and elements, before it is read; there may be some more than are counted where it is no JSON.
func values(document []byte) int {
	n := 1
	for i := 0; i < len(document); i++ {
		switch document[i] {
		case ',', '[', '{':
			n++
		case '"':
			for i++; i < len(document) && document[i] != '"'; i++ {
				if document[i] == '\\' {
					i++
				}
			}
		}
	}
	return n
}

// Times of requests that have more than others.
const (
	longWithin  = 10 * time.Minute // a long body, to arrive and to be answered, and a job, to be stored
	slowWithin  = 15 * time.Minute // what other servers are asked for: x-slow in the document
	stallWithin = time.Minute      // in which something of a body has to come: whoever was cut off would keep the room for it from others
)

// allowTime gives a request with a long body, or whose answer takes long, more time than others have, as long as its body goes on to come. It tells
// whether the request is such a one.
func (op *operation) allowTime(w http.ResponseWriter, r *http.Request) (long bool) {
	mayBeLong := r.ContentLength < 0 && op.limit > bodyLimit // it has no length
	if !op.slow && !op.job && op.order == nil && r.ContentLength <= bodyLimit && !mayBeLong {
		return false
	}
	within := longWithin
	if op.slow {
		within = slowWithin
	}
	control, until := http.NewResponseController(w), time.Now().Add(within)
	// Some writers, such as those of tests, know no deadline: their requests have all the time there is.
	_ = control.SetReadDeadline(until)
	_ = control.SetWriteDeadline(until)
	r.Body = &coming{r.Body, control, op.stall, until}
	return true
}

// A coming body has to go on within stall, and to be there by until.
type coming struct {
	io.ReadCloser
	control *http.ResponseController
	stall   time.Duration
	until   time.Time
}

func (c *coming) Read(p []byte) (int, error) {
	soon := time.Now().Add(c.stall)
	if soon.After(c.until) {
		soon = c.until
	}
	_ = c.control.SetReadDeadline(soon)
	n, err := c.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) { // the server goes on to read, to see whether the caller is still there; of one who is not, it is not to wait for the rest
		c.rest()
	}
	return n, err
}

// rest is for when nothing is read for a while: over HTTP/2 a body ends with its deadline also then.
func (c *coming) rest() { _ = c.control.SetReadDeadline(c.until) }

// promises refuses parameters that the operation does not take, and those that cannot be read. A condition or a filter that is
// passed over in silence would do more than was asked for.
func (op *operation) promises(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil { // it holds what could be read, without the rest
		return fault.New(fault.Invalid, "the query string cannot be read: put & between parameters, and write ; and %% in a value as %%3B and %%25")
	}
	for name, values := range query {
		p := op.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		if p == nil {
			return fault.New(fault.Invalid, "this request does not take the query parameter %s", shown(name))
		}
		if err := single(p, values); err != nil {
			return err
		}
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since", "Idempotency-Key"} {
		if n := len(r.Header.Values(name)); n > 1 {
			return fault.New(fault.Invalid, "the header %s is there %d times: give it once", name, n)
		}
		if r.Header.Get(name) != "" && op.Operation.Parameters.GetByInAndName(openapi3.ParameterInHeader, name) == nil {
			return fault.New(fault.Invalid, "this request does not take the header %s", name)
		}
	}
	return nil
}

// single refuses a query parameter that is given twice and is no list, of which one would be passed over, and one that is no number or truth value
// where there is to be one, such as nothing at all.
func single(p *openapi3.Parameter, values []string) error {
	s := p.Schema.Value
	if s.Type.Is("array") {
		return nil
	}
	if len(values) > 1 {
		return fault.New(fault.Invalid, "the query parameter %s is there %d times: give it once", p.Name, len(values)).With("member", p.Name)
	}
	var err error
	switch {
	case s.Type.Is("boolean"):
		_, err = strconv.ParseBool(values[0])
	case s.Type.Is("integer"):
		_, err = strconv.ParseInt(values[0], 10, 64)
	}
	if err != nil {
		return fault.New(fault.Invalid, "the query parameter %s is not of type %s", p.Name, strings.Join(s.Type.Slice(), " or ")).With("member", p.Name).With("rule", "type")
	}
	return nil
}

func (op *operation) pathValues(r *http.Request) map[string]string {
	values := map[string]string{}
	for part := range strings.SplitSeq(op.Path, "/") {
		if name, is := strings.CutPrefix(part, "{"); is {
			name = strings.TrimSuffix(name, "}")
			values[name] = r.PathValue(name)
		}
	}
	return values
}

// broken says which member of a request breaks which rule. The library's own words may hold values.
func broken(err error) error {
	where, name := "the body", ""
	var req *openapi3filter.RequestError
	if errors.As(err, &req) && req.Parameter != nil {
		name = req.Parameter.Name
		where = fmt.Sprintf("the %s parameter %s", req.Parameter.In, name)
	}
	var rule *openapi3.SchemaError
	if errors.As(err, &rule) {
		field, words := ruleOf(rule)
		if member := strings.Join(rule.JSONPointer(), "/"); member != "" {
			name = member
			where = "the member " + shown(member)
		}
		return fault.New(fault.Invalid, "%s %s", where, words).With("member", name).With("rule", field)
	}
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		return fault.New(fault.Invalid, "%s is missing", where).With("rule", "required")
	case req != nil && req.Parameter != nil:
		return fault.New(fault.Invalid, "%s is not of its type: GET /v1/openapi.yaml shows it", where)
	}
	return fault.New(fault.Invalid, "the body is no JSON document with Content-Type: application/json")
}

// ruleOf names the rule of a schema that was broken, and puts it in words.
func ruleOf(e *openapi3.SchemaError) (rule, words string) {
	s := e.Schema
	switch e.SchemaField {
	case "required":
		return "required", "is missing"
	case "properties":
		members, _ := e.Value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(members)) {
			if s.Properties[name] == nil {
				return "additionalProperties", "holds a member that the API does not have: " + shown(name)
			}
		}
	case "type":
		if isLife(e) {
			return "type", "is not a whole number of seconds, such as 3600 for an hour"
		}
		return "type", fmt.Sprintf("is not of type %s", strings.Join(s.Type.Slice(), " or "))
	case "nullable":
		return "type", "must not be null"
	case "enum":
		return "enum", fmt.Sprintf("is none of %v", s.Enum)
	case "minimum", "maximum":
		if isLife(e) {
			return e.SchemaField, fmt.Sprintf("lies outside %s seconds", bounds(s.Min, s.Max))
		}
		return e.SchemaField, fmt.Sprintf("lies outside %s", bounds(s.Min, s.Max))
	case "minLength", "maxLength":
		return e.SchemaField, fmt.Sprintf("takes %d to %s characters", s.MinLength, atMost(s.MaxLength))
	case "minItems", "maxItems":
		return e.SchemaField, fmt.Sprintf("takes %d to %s entries", s.MinItems, atMost(s.MaxItems))
	case "maxProperties":
		return e.SchemaField, fmt.Sprintf("takes %d to %s entries", s.MinProps, atMost(s.MaxProps))
	case "minProperties":
		return "minProperties", "changes nothing"
	case "pattern", "format":
		return e.SchemaField, "is not " + formOf(s)
	}
	return e.SchemaField, "breaks the rule " + e.SchemaField
}

// atMost is the end of a range; nil for none.
func atMost(n *uint64) string {
	if n == nil {
		return "any number of"
	}
	return strconv.FormatUint(*n, 10)
}

// formExtension is where a schema with a pattern says in words, with an example, what it wants.
const formExtension = "x-form"

// formOf is the form that a schema wants, in words.
func formOf(s *openapi3.Schema) string {
	if words, is := s.Extensions[formExtension].(string); is {
		return words
	}
	switch s.Format {
	case "date-time":
		return "a time such as 2026-11-24T09:14:00Z"
	case "date":
		return "a day such as 2031-01-31"
	case "uuid":
		return "an ID such as 0197cbd0-3d2f-7a41-9c58-5be1a2f0c3d4"
	}
	return "of the format " + s.Format
}

// isLife tells whether a rule is about a length of time.
func isLife(e *openapi3.SchemaError) bool {
	where := e.JSONPointer()
	return len(where) > 0 && strings.HasSuffix(where[len(where)-1], "_seconds") && e.Schema.Type.Is("integer")
}

// bounds shows a range of numbers.
func bounds(low, high *float64) string {
	show := func(n *float64) string {
		if n == nil {
			return "any"
		}
		return strconv.FormatFloat(*n, 'f', -1, 64)
	}
	return show(low) + " to " + show(high)
}

// shown is a name that a caller chose, as far as it may come back in an answer.
func shown(name string) string {
	const longest = 64
	if len(name) > longest {
		name = name[:longest] + "..."
	}
	return strconv.QuoteToASCII(name)
}

// readOneWay refuses a JSON document that is not read as it was meant: bytes that are no UTF-8, and halves of characters, would become U+FFFD, in passwords too, and of a
// member that is there twice the contract is held against the last, while Go puts the members of both together.
func readOneWay(body []byte) error {
	if !utf8.Valid(body) {
		return fault.New(fault.Invalid, "the body is not in UTF-8: write it so")
	}
	if halved(body) {
		return fault.New(fault.Invalid, "the body holds half of a character (\\ud800 to \\udfff without its other half): read the text that it comes from in its own encoding")
	}
	if name, twice := repeated(body); twice {
		return fault.New(fault.Invalid, "the member %s is there twice: give it once", shown(name))
	}
	return nil
}

// halved tells whether a well-formed JSON document writes half of a character of UTF-16, as programs do that read a text in another encoding than its own.
func halved(document []byte) bool {
	for i := bytes.IndexByte(document, '\\'); i >= 0 && i < len(document); i++ {
		if document[i] != '\\' {
			continue
		}
		switch first := unit(document[i:]); {
		case !utf16.IsSurrogate(first):
			i++ // what is escaped, such as another backslash
		case utf16.DecodeRune(first, unit(document[i+len(`\u0000`):])) == utf8.RuneError:
			return true
		default:
			i += len(`\u0000\u0000`) - 1
		}
	}
	return false
}

// unit is the unit of UTF-16 that a text begins with as \u and four digits; -1 if it does not.
func unit(text []byte) rune {
	if len(text) < len(`\u0000`) || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}

// repeated is a name that an object of a JSON document has twice, if one has. That it is well-formed has been seen; what comes after it is refused elsewhere.
func repeated(document []byte) (name string, twice bool) {
	text := string(document)   // names are parts of it: all together cost one copy
	var open []map[string]bool // the names of each object that is open; nil for a list
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			open = append(open, map[string]bool{})
		case '[':
			open = append(open, nil)
		case '}', ']':
			if open = open[:len(open)-1]; len(open) == 0 {
				return "", false
			}
		case '"':
			begin := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			if !strings.HasPrefix(strings.TrimLeft(text[i+1:], " \t\r\n"), ":") {
				continue // a value
			}
			if name = text[begin+1 : i]; strings.Contains(name, `\`) {
				_ = json.Unmarshal(document[begin:i+1], &name) // as what reads the body does
			}
			names := open[len(open)-1]
			if names[name] {
				return name, true
			}
			names[name] = true
		}
	}
	return "", false
}

// decode reads the body of a request that keeps to the contract.
func decode[T any](r *request) (T, error) {
	var v T
	d := json.NewDecoder(bytes.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		// What the document allows and Go does not read: 1.0 for an integer, other alphabets of base64.
		return v, fault.New(fault.Invalid, "the body cannot be read: write whole numbers without fraction or exponent, and files in standard base64")
	}
	if _, more := d.Token(); !errors.Is(more, io.EOF) {
		return v, fault.New(fault.Invalid, "the body goes on after its JSON document: send one, and nothing after it")
	}
	return v, nil
}

// query returns a parameter that keeps to the contract, "" if it is not there.
func (r *request) query(name string) string { return r.URL.Query().Get(name) }

// number returns a number that keeps to the contract, otherwise if it is not there.
func (r *request) number(name string, otherwise int64) int64 {
	n, err := strconv.ParseInt(r.query(name), 10, 64)
	if err != nil { // there is none: see single
		return otherwise
	}
	return n
}

// moment returns a time, the zero time if it is not there. The contract takes some that Go does not, such as a second that leaps.
func (r *request) moment(name string) (time.Time, error) {
	if !r.URL.Query().Has(name) {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339, r.query(name))
	if err != nil {
		return at, fault.New(fault.Invalid, "the query parameter %s is not a time such as 2026-11-24T09:14:00Z", name).With("member", name).With("rule", "format")
	}
	return at, nil
}

// flag returns a truth value that keeps to the contract, nil if it is not there.
func (r *request) flag(name string) *bool {
	b, err := strconv.ParseBool(r.query(name))
	if err != nil { // there is none: see single
		return nil
	}
	return &b
}
