package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// MaxPosted is how many bytes a report may have to be posted to a webhook; of a larger one, the webhook is told where it is.
const MaxPosted = 1 << 20

// An enclosure is a report as a webhook is sent it, beside the event report.done. The message is signed as a whole.
type enclosure struct {
	Run       string          `json:"run"`
	MediaType string          `json:"media_type"`
	Bytes     int64           `json:"bytes"`
	SHA256    string          `json:"sha256"`            // of the report as it is downloaded
	URL       string          `json:"url"`               // where it is downloaded, with an API key, as long as it is kept
	Content   json.RawMessage `json:"content,omitempty"` // CSV as a text, JSON as it is, PDF as a text in Base64; left out if it is too large, or gone
}

// Enclosure is what a webhook is sent beside an event, as a JSON object: the report, if the event tells that one was made which is to be
// posted to that webhook; else nil.
func (r *Registry) Enclosure(ctx context.Context, webhook string, e audit.Event) ([]byte, error) {
	id, is := strings.CutPrefix(e.Object, "report_run:")
	if e.Action != "report.done" || !is {
		return nil, nil
	}
	run, err := r.Runs.Run(ctx, id)
	if errors.Is(err, fault.NotFound) { // it was deleted, or kept for its time
		return nil, nil
	}
	if err != nil || run.Order.Webhook != webhook || run.State != RunDone {
		return nil, err
	}
	out := enclosure{Run: id, MediaType: run.Order.Format.MediaType(), Bytes: run.Size, SHA256: run.Digest, URL: r.Base + "/v1/report-runs/" + id + "/content"}
	if run.Size <= MaxPosted {
		content, err := r.Whole(ctx, run)
		if err != nil && !errors.Is(err, fault.NotFound) {
			return nil, err
		}
		if err == nil {
			if out.Content, err = posted(run.Order.Format, content); err != nil {
				return nil, err
			}
		}
	}
	return json.Marshal(out)
}

// posted is a report as a member of a JSON object.
func posted(f Format, content []byte) (json.RawMessage, error) {
	switch f {
	case JSON:
		return content, nil
	case CSV:
		return json.Marshal(string(content))
	}
	return json.Marshal(content)
}

// Whole returns what a run that is done has made. Its Size says how much that is.
func (r *Registry) Whole(ctx context.Context, run Run) ([]byte, error) {
	var b bytes.Buffer
	err := r.Content(ctx, run, &b)
	return b.Bytes(), err
}
