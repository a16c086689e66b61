package api

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/access"
)

const boundary = "cut-here"

// form is a body of the parts of a form.
func form(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		name, content, _ := strings.Cut(part, "=")
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

func uploadRoutes(t *testing.T, h *house) {
	key := h.key(access.TokenAdmin)
	multipart := "multipart/form-data; boundary=" + boundary
	for name, c := range map[string]struct {
		kind, body string
		status     int
		code       string
	}{
		"JSON":           {"application/json", `{"file":"AA=="}`, 400, "INVALID"},
		"nothing":        {multipart, "", 400, "INVALID"},
		"no order":       {multipart, form("file=x"), 400, "INVALID"},
		"no file":        {multipart, form("order={}"), 400, "INVALID"},
		"file first":     {multipart, form("file=x", "order={}"), 400, "INVALID"},
		"empty file":     {multipart, form("order={}", "file="), 400, "INVALID"},
		"no JSON":        {multipart, form("order={", "file=x"), 400, "INVALID"},
		"unknown member": {multipart, form(`order={"files":1}`, "file=x"), 400, "INVALID"},
		"wrong type":     {multipart, form(`order={"dry_run":"yes"}`, "file=x"), 400, "INVALID"},
		"cut":            {multipart, strings.TrimSuffix(form("order={}", "file=x"), "\r\n--"+boundary+"--\r\n"), 400, "INVALID"},
		"long order":     {multipart, form(`order={"name":"`+strings.Repeat("x", bodyLimit)+`"}`, "file=x"), 413, "TOO_LARGE"},
		"long file":      {multipart, form("order={}", "file="+strings.Repeat("x", int(h.UploadLimit)+1)), 413, "TOO_LARGE"},
		"whole":          {multipart, form("order={}", "file="+strings.Repeat("x", int(h.UploadLimit))), 422, "IMPORT_BAD_FORMAT"},
	} {
		status, _, body := h.send(key, "POST", "/v1/imports", c.body, "Content-Type", c.kind)
		if status != c.status || !strings.Contains(body, `"`+c.code+`"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	if left := try(os.ReadDir(h.Spool))(t); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// What lies on the disk of an upload is sealed and has no name, and it can be read as often as is needed.
func TestSpoolIsSealed(t *testing.T) {
	a := &API{Config: Config{Spool: t.TempDir(), UploadLimit: 1 << 20}}
	const text = "serial,seed\n1,00112233445566778899aabbccddeeff\n"
	s := try(a.spool(&request{file: strings.NewReader(text)}))(t)
	defer s.Close()
	for range 2 {
		if got := try(io.ReadAll(try(s.Open())(t)))(t); string(got) != text {
			t.Errorf("read %q", got)
		}
	}
	_ = try(s.file.Seek(0, io.SeekStart))(t)
	if raw := try(io.ReadAll(s.file))(t); len(raw) == 0 || bytes.Contains(raw, []byte("serial")) {
		t.Errorf("on the disk is %q", raw)
	}
	if left := try(os.ReadDir(a.Spool))(t); len(left) > 0 {
		t.Errorf("it has a name: %v", left)
	}
}
