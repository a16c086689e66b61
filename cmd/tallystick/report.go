package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
)

func (p *program) reportCommands() *cobra.Command {
	cmd := group("report", "What there is and what happened", p.reportStatistics(), p.reportList(),
		p.reportRun(), p.reportRuns(), p.reportDownload(), p.reportDelete(), p.reportSchedule())
	cmd.Use = "report NAME"
	cmd.Long = `Make a report: 'tallystick report list' names them, and with a name tells of its columns, filters and orders.

  tallystick report expiring --filter within=30
  tallystick report users --filter with_token=false --format csv --out none.csv
  tallystick report authentications --filter since=-7d --format pdf --out a.pdf`
	var want client.ReportQuery
	var filters []string
	var format, out string
	s := cmd.Flags()
	s.StringVar(&format, "format", "", "`form` of the report: table, csv, json or pdf (default table)")
	s.StringSliceVar(&want.Columns, "columns", nil, "`names` of columns with commas between them, in the order wanted")
	s.StringArrayVar(&filters, "filter", nil, "`name=value`; may be given several times. Times may be days or hours from now: -30d, +90d, -2h")
	s.StringVar(&want.Order, "order", "", "`order` of the rows, one of those of the report")
	s.StringVar(&out, "out", "", "`file` to write to (default standard output)")
	cmd.Args = nil
	p.does(cmd, func(r run) error {
		var err error
		if want.Filters, err = reportFilters(filters); err != nil {
			return err
		}
		return p.report(r, r.args[0], format, out, want)
	})
	do := cmd.RunE
	cmd.Args, cmd.ValidArgsFunction = cobra.ArbitraryArgs, p.suggestions("report", 1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return cli.Usagef("report takes the name of a report or one of its subcommands: 'tallystick report list' shows the reports")
		}
		return do(cmd, args)
	}
	return cmd
}

func reportFilters(pairs []string) (map[string]string, error) {
	filters := map[string]string{}
	for _, pair := range pairs {
		name, value, whole := strings.Cut(pair, "=")
		if _, twice := filters[name]; twice || !whole || name == "" {
			return nil, cli.Usagef("--filter takes NAME=VALUE, each name once")
		}
		filters[name] = value
	}
	return filters, nil
}

// report makes a report and writes it as it comes.
func (p *program) report(r run, name, format, file string, want client.ReportQuery) error {
	if format == "" {
		format = "table"
		if p.JSON {
			format = "json"
		}
	}
	switch {
	case format != "table" && format != "csv" && format != "json" && format != "pdf":
		return cli.Usagef("--format takes table, csv, json or pdf")
	case p.JSON && format != "json":
		return cli.Usagef("--json and --format %s are two formats: give one", format)
	case format == "pdf" && file == "" && p.terminal():
		return cli.Usagef("a PDF is not for the terminal: give --out FILE")
	}
	wire := format
	if format == "table" {
		wire = "json"
	}
	in, err := r.server.Report(r.ctx, name, wire, want)
	if err != nil {
		return err
	}
	defer in.Close()
	return p.into(file, func(w io.Writer) error {
		if format == "table" {
			return p.reportTable(w, in)
		}
		_, err := io.Copy(w, in)
		return cutOff(err)
	})
}

// cutOff puts into words that a report did not come whole.
func cutOff(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the report was cut off: the server's log says why")
	}
	return err
}

// into writes to a file, which is there only if all of it is and is told of, or to standard output.
func (p *program) into(file string, write func(io.Writer) error) error {
	if file == "" || file == "-" || p.isOutput(file) {
		if p.JSON {
			return write(p.Stream())
		}
		return write(p.Out)
	}
	if _, err := p.writeWhole(file, write); err != nil { // it holds names
		return err
	}
	if p.JSON {
		return p.PrintJSON(map[string]string{"file": file})
	}
	p.Note("wrote " + file)
	return nil
}

func (p *program) reportList() *cobra.Command {
	cmd := &cobra.Command{Use: "list [NAME]", Short: "List the reports, or tell of one", Args: cobra.ArbitraryArgs, ValidArgsFunction: p.suggestions("report", 1)}
	p.does(cmd, func(r run) error {
		if len(r.args) > 1 {
			return cli.Usagef("list takes one name at most")
		}
		all, err := r.server.Reports(r.ctx)
		if err != nil {
			return err
		}
		if len(r.args) == 1 {
			return p.reportAbout(all, r.args[0])
		}
		return tabulate(p, client.ReportTemplateList{Reports: all}, []string{"REPORT", "TITLE"}, all, func(t client.ReportTemplate) []string { return []string{t.Report, t.Title} })
	})
	return cmd
}

// reportAbout tells of one report.
func (p *program) reportAbout(all []client.ReportTemplate, name string) error {
	for _, t := range all {
		if t.Report != name {
			continue
		}
		if p.JSON {
			return p.PrintJSON(t)
		}
		return p.reportFields(t)
	}
	return &client.Error{Status: 404, Code: "NOT_FOUND", Message: fmt.Sprintf("there is no report %q that you may have: 'tallystick report list' shows them", name)}
}

// reportFields shows a report's template: its columns, of which some are shown unless others are asked for, and its filters.
func (p *program) reportFields(t client.ReportTemplate) error {
	width := cli.Width(p.Out)
	p.fields("report", t.Title, "about", t.About, "rights", strings.Join(t.Rights, ", "), "orders", strings.Join(t.Orders, ", "))
	var rows [][]string
	for _, c := range t.Columns {
		rows = append(rows, []string{c.Name, c.Kind, yesNo(c.Shown), c.Title})
	}
	fmt.Fprintln(p.Out)
	err := cli.Table(p.Out, width, []string{"COLUMN", "KIND", "DEFAULT", "TITLE"}, rows)
	if err != nil || len(t.Filters) == 0 {
		return err
	}
	rows = nil
	for _, f := range t.Filters {
		about := f.About
		if len(f.Values) > 0 {
			about += ": " + strings.Join(f.Values, ", ")
		}
		rows = append(rows, []string{f.Name, f.Kind, about})
	}
	fmt.Fprintln(p.Out)
	return cli.Table(p.Out, width, []string{"FILTER", "KIND", "ABOUT"}, rows)
}

func (p *program) reportStatistics() *cobra.Command {
	days := -1
	cmd := p.command("statistics", "Count tokens by what they are like now", 0, nil)
	p.does(cmd, func(r run) error {
		if cmd.Flags().Changed("expiring-days") && days < 0 { // which stands for the setting
			return cli.Usagef("--expiring-days takes a number of days, 0 or more")
		}
		s, err := r.server.Statistics(r.ctx, days)
		if err != nil {
			return err
		}
		type tally struct {
			what string
			n    int
		}
		rows := []tally{
			{"software tokens", s.SoftwareTotal}, {"hardware tokens", s.HardwareTotal}, {"assigned", s.Assigned}, {"available", s.Available},
			{"available as next", s.SoftwareAvailable}, {"enabled", s.Enabled}, {"disabled", s.Disabled},
			{"expired", s.Expired}, {fmt.Sprintf("expiring within %d days", s.ExpiringDays), s.Expiring}, {"lost", s.Lost},
			{"replacements", s.Replacement}, {"replaced by another", s.Replaced}, {"over the issue limit", s.OverIssueLimit},
			{"in new-PIN mode", s.NewPIN}, {"in next-tokencode mode", s.NextTokencode}, {"locked users", s.LockedUsers},
			{"pending activations", s.PendingActivations}, {"never confirmed", s.NeverConfirmed},
		}
		return tabulate(p, s, []string{"TOKENS", fmt.Sprintf("%9s", "COUNT")}, rows, func(t tally) []string { return []string{t.what, fmt.Sprintf("%9d", t.n)} })
	})
	cmd.Flags().IntVar(&days, "expiring-days", days, "count tokens as expiring whose last day comes within so many `days` (default the setting warn_days)")
	cmd.Flags().Lookup("expiring-days").DefValue = "0"
	return cmd
}
