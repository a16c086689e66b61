package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
)

// deliveryFlags are what distribute and redistribute have in common.
type deliveryFlags struct {
	d        client.Distribution
	password *cli.Secret
	grace    time.Duration
	out, qr  string
	// What --out and --qr name, while it is open: see open.
	delivery, picture *secretFile
}

func (p *program) deliveryFlags(cmd *cobra.Command) *deliveryFlags {
	f := &deliveryFlags{password: p.SecretFlag(cmd, "password-file", "password that locks the file or string", passwordVariables...)}
	s := cmd.Flags()
	s.StringVar(&f.d.Profile, "profile", "", "`profile` that says what the token is like and how it is delivered")
	s.StringVar(&f.d.DeviceID, "device-id", "", "bind the delivery to the device with this `ID`, as its app shows it")
	s.StringVar(&f.d.Nickname, "nickname", "", "`name` of the token in the app (token files)")
	s.StringVar(&f.d.Protection, "protection", "", "optional, none, password, user_id or user_id_password (default the profile's)")
	s.StringVar(&f.d.SwitchOver, "switch-over", "", "immediate or on_activation (default the profile's)")
	lifeFlag(s, &f.grace, "grace", 0, "how long the old seed may live on, with on_activation (default the profile's)")
	s.StringVar(&f.out, "out", "", "`file` to write the delivery to (default for token files USER_SERIAL.sdtid); with --select a folder")
	s.BoolVar(&f.d.Mail, "mail", false, "send it to the user's address; the password or activation code is not in the same message")
	s.StringVar(&f.d.SecretBy, "secret-by", "", "with --mail, how the password or activation code goes: hand (the default), mail, in a message of its own, or sign_in, in one that is held until the user has signed in")
	s.StringVar(&f.qr, "qr", "", "`file` to draw the QR code to: .png or .svg")
	return f
}

// sparePassword leaves a password of the environment alone where the delivery takes none: whoever has set it for others has not asked for it here.
func (p *program) sparePassword(r run, f *deliveryFlags, individual bool) {
	if f.password.Flagged() || !f.password.Given() || f.d.Profile == "" {
		return
	}
	none := individual
	if !none { // a profile that cannot be read is refused by the delivery
		profile, err := r.server.Profile(r.ctx, f.d.Profile)
		none = err == nil && profile.DeliveryMethod == "ctkip"
	}
	if none {
		f.password.OnlyFlag()
	}
}

// distribution is what the flags ask for.
func (p *program) distribution(cmd *cobra.Command, f *deliveryFlags) (client.Distribution, error) {
	if f.d.Profile == "" {
		return f.d, cli.Usagef("say how it is delivered: --profile NAME")
	}
	if ext := strings.ToLower(filepath.Ext(f.qr)); f.qr != "" && ext != ".png" && ext != ".svg" {
		return f.d, cli.Usagef("--qr draws to a file that ends in .png or .svg")
	}
	if f.d.SecretBy != "" && !f.d.Mail {
		return f.d, cli.Usagef("--secret-by goes with --mail")
	}
	if f.d.Mail && (f.out != "" || f.qr != "") {
		return f.d, cli.Usagef("what goes by --mail is not written to a file as well")
	}
	if f.out == "-" && p.JSON {
		return f.d, cli.Usagef("--out - and --json both take standard output: write the delivery to a file")
	}
	if cmd.Flags().Changed("grace") {
		grace := seconds(f.grace)
		f.d.GraceSeconds = &grace
	}
	password, err := f.password.Value()
	if err == nil && f.password.Given() && password == "" {
		err = cli.Usagef("the password is empty: leave it out to deliver without")
	}
	f.d.Password = client.Secret(password)
	return f.d, err
}

func (p *program) tokenDistribute() *cobra.Command {
	cmd := p.command("distribute [SERIAL]", "Deliver a token to its user, or many tokens by a job", 0, nil)
	var m bulkFlags
	f := p.deliveryFlags(cmd)
	m.on(cmd)
	cmd.Args = m.oneOrMany
	p.does(cmd, func(r run) error {
		return p.oneOrMany(cmd, r, f, &m,
			func(d client.Distribution) (client.Issue, error) { return r.server.Distribute(r.ctx, r.args[0], d) },
			func(b client.BulkDistribution) (client.Job, error) { return r.server.DistributeMany(r.ctx, b) })
	})
	return cmd
}

// reasons are those of [distribution.Reasons], for people.
const reasons = "COMPROMISED, LOST_DEVICE, NEW_DEVICE, CHANGE_ATTRIBUTES, NOT_RECEIVED or OTHER"

func (p *program) tokenRedistribute() *cobra.Command {
	cmd := p.command("redistribute [SERIAL]", "Deliver a token again, or many tokens by a job, each with a new seed", 0, nil)
	var m bulkFlags
	f := p.deliveryFlags(cmd)
	m.on(cmd)
	cmd.Args = m.oneOrMany
	reason := cmd.Flags().String("reason", "", reasons)
	note := cmd.Flags().String("note", "", "`text` that says why; OTHER needs it")
	p.does(cmd, func(r run) error {
		if *reason == "" {
			return cli.Usagef("say why: --reason %s", reasons)
		}
		why := strings.ToUpper(strings.ReplaceAll(*reason, "-", "_"))
		if why == "OTHER" && *note == "" {
			return fault.New(fault.ReasonRequired, "the reason OTHER takes words of yours: --note TEXT")
		}
		return p.oneOrMany(cmd, r, f, &m,
			func(d client.Distribution) (client.Issue, error) {
				return r.server.Redistribute(r.ctx, r.args[0], client.Redistribution{Distribution: d, Reason: why, Note: *note})
			},
			func(b client.BulkDistribution) (client.Job, error) {
				return r.server.RedistributeMany(r.ctx, client.BulkRedistribution{BulkDistribution: b, Reason: why, Note: *note})
			})
	})
	return cmd
}

// oneOrMany has the token delivered that is named, or those that are selected by a job.
func (p *program) oneOrMany(cmd *cobra.Command, r run, f *deliveryFlags, m *bulkFlags, one func(client.Distribution) (client.Issue, error), many func(client.BulkDistribution) (client.Job, error)) error {
	p.sparePassword(r, f, m.individual)
	if m.selection != "" {
		out := f.out
		b, err := p.bulk(cmd, f, m)
		if err != nil {
			return err
		}
		j, err := many(b)
		if err != nil {
			return err
		}
		return p.started(r, j, m, out)
	}
	d, err := p.distribution(cmd, f)
	if err != nil {
		return err
	}
	if err := p.askDevice(r, &d); err != nil {
		return err
	}
	return p.deliver(r, f, func() (client.Issue, error) { return one(d) })
}

// deliver has a delivery made and hands it out. Where it goes is opened first: once it is made, the seed that the user had may be
// destroyed, and what could not be written then would leave her without any.
func (p *program) deliver(r run, f *deliveryFlags, do func() (client.Issue, error)) error {
	defer f.drop()
	if err := f.open(r); err != nil {
		return fmt.Errorf("nothing was distributed: %w", err)
	}
	issue, err := do()
	if err != nil {
		return err
	}
	return p.handOut(issue, f)
}

// open opens the files that the flags name, or makes sure that a token file can be written that gets its name from the server.
func (f *deliveryFlags) open(r run) (err error) {
	if f.qr != "" {
		if f.picture, err = openSecret(f.qr); err != nil {
			return err
		}
	}
	if f.out == "-" || f.d.Mail {
		return nil
	}
	if f.out != "" {
		f.delivery, err = openSecret(f.out)
		return err
	}
	if profile, wrong := r.server.Profile(r.ctx, f.d.Profile); wrong == nil && profile.DeliveryMethod == "file" { // what is wrong with it, the delivery will tell
		err = canWrite(".")
	}
	return err
}

// drop leaves no trace of files that nothing was written to.
func (f *deliveryFlags) drop() {
	f.picture.drop()
	f.delivery.drop()
}

// handOut writes a delivery to where it belongs and says what it is. The server has done its part: what
// cannot be written is an error that says so, since only another distribution makes it anew.
func (p *program) handOut(issue client.Issue, f *deliveryFlags) error {
	d := issue.Delivery
	for _, w := range issue.Warnings {
		p.Note("warning: " + w)
	}
	if f.qr != "" && d.QR == "" {
		p.Note(fmt.Sprintf("warning: a token file has no QR code, and some device types read none: %s was not drawn", f.qr))
		f.qr = ""
	}
	file, err := f.write(d, p.Out)
	if err == nil && f.out != "-" { // else what was made is alone on standard output
		if err = p.showIssue(issue, f, file); file != "" { // where all of it is
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("token %s was distributed, but what was made for it could not be kept (%w): distribute it again, to another file", issue.Serial, err)
	}
	if f.out == "-" {
		p.Note(fmt.Sprintf("token %s, generation %d, %s", issue.Serial, issue.Generation, methodWords[d.Method]))
	}
	return nil
}

// showIssue says what a delivery is, with what is in no file.
func (p *program) showIssue(issue client.Issue, f *deliveryFlags, file string) error {
	d := issue.Delivery
	if p.JSON {
		return p.printIssue(issue, file)
	}
	link := d.CTFURL
	if d.QR == "" {
		link += d.CTKIPLink // else it is in the QR code
	}
	mails := ""
	if len(issue.Mails) > 0 {
		mails = counted(len(issue.Mails), "message") + " in the outbox"
	}
	_, err := fmt.Fprintf(p.Out, "token %s, generation %d, %s\n", issue.Serial, issue.Generation, methodWords[d.Method])
	if err == nil {
		err = cli.Fields(p.Out, cli.Width(p.Out), nameColumns, "file", file, "string", d.CTF, "link", link, "server", d.CTKIPURL, "activation code", d.ActivationCode,
			"good until", date(d.ActivationExpires), "qr code", f.qr, "old seed until", date(issue.OldUntil), "mail", mails)
	}
	if err != nil {
		return err
	}
	if terminal := cli.Terminal(p.Out); terminal != nil && d.QR != "" && f.qr == "" {
		code, err := distribution.DrawQR(d.QR)
		if err == nil {
			_, err = fmt.Fprintln(terminal, code.Terminal())
		}
		return err
	}
	return nil
}

var methodWords = map[string]string{
	"file": "by token file", "ctf": "by compressed string", "ctkip": "by dynamic provisioning",
}

// write puts the delivery and its QR code into files and returns the name of the delivery's; "-" is out.
func (f *deliveryFlags) write(d client.Delivery, out io.Writer) (string, error) {
	if f.qr != "" {
		picture, err := drawQR(d.QR, f.qr)
		if err != nil {
			return "", err
		}
		if err := f.picture.write(picture); err != nil {
			return "", err
		}
	}
	name, content := f.out, d.File
	if d.Method == "file" && name == "" {
		name = d.FileName
	}
	switch d.Method {
	case "ctf":
		content = []byte(d.CTFURL + "\n")
	case "ctkip":
		content = []byte(d.CTKIPLink + "\n")
	}
	if name == "" {
		return "", nil
	}
	if name == "-" {
		_, err := out.Write(content)
		return "", err
	}
	if f.delivery != nil {
		return name, f.delivery.write(content)
	}
	return name, writeSecret(name, content)
}

func drawQR(text, file string) ([]byte, error) {
	code, err := distribution.DrawQR(text)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(filepath.Ext(file), ".svg") {
		return code.SVG(), nil
	}
	const scale = 8 // pixels a module
	return code.PNG(scale)
}

// printIssue prints the answer of the server with the name of the file in place of its content, where the delivery is a file.
func (p *program) printIssue(issue client.Issue, file string) error {
	issue.Delivery.File, issue.Delivery.FileName = nil, ""
	if issue.Delivery.Method != "file" { // a document has the fields of its method only
		file = ""
	}
	type delivery client.Delivery // without the methods that hide it: this is where it is handed out
	return p.PrintJSON(struct {
		client.Issue
		Delivery any `json:"delivery"`
	}{issue, struct {
		delivery
		File string `json:"file,omitempty"`
	}{delivery(issue.Delivery), file}})
}
