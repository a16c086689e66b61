package server_test

import (
	"strings"

	"github.com/tallystick/tallystick/client"
)

// reported has every report made, with all of its columns, in each format that can be searched.
func (w *witness) reported() {
	w.does("tallystick", "report", "statistics")
	reports := answer[client.ReportTemplateList](w, w.does("tallystick", "report", "list", "--json")).Reports
	if len(reports) < 15 {
		w.Errorf("only %d reports", len(reports))
	}
	rows := 0
	for _, r := range reports {
		var columns []string
		for _, c := range r.Columns {
			columns = append(columns, c.Name)
		}
		for _, format := range []string{"table", "csv", "json"} {
			out := w.does("tallystick", "report", r.Report, "--columns", strings.Join(columns, ","), "--format", format).stdout
			rows += strings.Count(out, "\n")
		}
	}
	if rows < 100 {
		w.Errorf("only %d rows in all reports", rows)
	}
}
