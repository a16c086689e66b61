package server_test

import (
	"archive/zip"
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/sdtid"
	"github.com/tallystick/tallystick/securid"
)

// A job that distributes many tokens, whose servers are killed three times with kill -9, ends as if nothing had happened: each
// token was issued once, none was skipped, what was made for each is there once and works. On PostgreSQL two servers share it.
func TestInvariant12AKilledJobEndsAsAnUninterruptedOne(t *testing.T) {
	if testing.Short() {
		t.Skip("takes thousands of tokens, to kill it in their midst")
	}
	oneAndTwo(t, killedJob)
}

func killedJob(t *testing.T, servers ...*process) {
	const n = 8000
	ctx := t.Context()
	admin := servers[0].admin()
	_, err := admin.AddProfile(ctx, client.NewProfile{Profile: "files", DeviceType: "generic", DeliveryMethod: "file", PINType: "none"})
	must(t, 0, err)
	holders := holdersOf(t, admin, n)
	spare, err := admin.CreateTokens(ctx, client.NewTokens{Count: 3})
	must(t, spare, err)
	serials := make([]string, 0, n+3)
	for serial := range holders {
		serials = append(serials, serial)
	}
	slices.Sort(serials)
	serials = append(serials, spare...)
	j, err := admin.DistributeMany(ctx, client.BulkDistribution{Selection: client.Selection{Serials: serials}, Profile: "files", IndividualPasswords: true})
	must(t, j, err)

	for kills := 1; kills <= 3; kills++ {
		poll(t, "the job to come further", func() bool {
			now, err := servers[0].admin().Job(ctx, j.Job)
			return must(t, now, err).Done >= kills*n/4 || now.Over()
		})
		for i, p := range servers {
			p.kill()
			servers[i] = launch(t, p.data, p.args...)
		}
		for _, p := range servers {
			p.ready()
		}
	}
	admin = servers[len(servers)-1].admin()
	resumed, err := admin.ResumeJob(ctx, j.Job, client.JobResumption{}) // which nobody needs
	must(t, resumed, err)
	j, err = admin.WatchJob(ctx, j.Job, func(client.Job) {})
	must(t, j, err)
	if j.State != "done_with_errors" || j.Total != n+3 || j.Done != n || j.Failed != 3 {
		t.Errorf("the job ended as %+v", j)
	}

	// Its items are those of an uninterrupted run: all that can be is done, and the others are refused.
	items := 0
	for item, err := range admin.AllJobItems(ctx, j.Job, client.JobItemFilter{Limit: 1000}) {
		must(t, item, err)
		want := client.JobItem{Number: items + 1, Key: serials[items], State: "done", OK: true}
		if items >= n {
			want.State, want.OK, want.Code, want.Message = "failed", false, "NOT_ASSIGNED", item.Message
		}
		if item != want {
			t.Fatalf("item %+v, want %+v", item, want)
		}
		items++
	}
	if items != n+3 {
		t.Errorf("%d items", items)
	}
	issued := 0
	for tok, err := range admin.AllTokens(ctx, client.TokenFilter{Profile: "files", Limit: 1000}) {
		if must(t, tok, err).IssueCount != 1 || tok.Generation != 1 || tok.Distribution != "issued" {
			t.Fatalf("%+v", tok)
		}
		issued++
	}
	if issued != n {
		t.Errorf("%d tokens are issued", issued)
	}
	issuedOnce(t, admin, j.Job, n)
	works(t, servers[0], j.Job, holders)
}

// Two administrators who start the same job, on PostgreSQL at two servers, deliver each token once, and learn of each which of them did not.
func TestTheSameJobTwice(t *testing.T) { oneAndTwo(t, sameJobTwice) }

func sameJobTwice(t *testing.T, servers ...*process) {
	const n = 600 // some chunks
	ctx := t.Context()
	admins := []*client.Client{servers[0].admin(), servers[len(servers)-1].admin()}
	_, err := admins[0].AddProfile(ctx, client.NewProfile{Profile: "files", DeviceType: "generic", DeliveryMethod: "file", PINType: "none"})
	must(t, 0, err)
	holdersOf(t, admins[0], n)
	order := client.BulkDistribution{Selection: client.Selection{Undistributed: true}, Profile: "files", IndividualPasswords: true, Rate: n}
	var jobs []client.Job
	for i, admin := range admins {
		order.Name = strconv.Itoa(i)
		j, err := admin.DistributeMany(ctx, order)
		jobs = append(jobs, must(t, j, err))
	}
	became := map[string][]string{}
	done := 0
	for i, admin := range admins {
		j, err := admin.WatchJob(ctx, jobs[i].Job, func(client.Job) {})
		done += must(t, j, err).Done
		for item, err := range admin.AllJobItems(ctx, j.Job, client.JobItemFilter{Limit: 1000}) {
			became[must(t, item, err).Key] = append(became[item.Key], item.State+item.Code)
		}
	}
	if done != n {
		t.Errorf("%d tokens were delivered, want %d", done, n)
	}
	for serial, twice := range became {
		if slices.Sort(twice); len(twice) == 2 && !slices.Equal(twice, []string{"done", "failedCONFLICT"}) {
			t.Fatalf("%s: %v", serial, twice)
		}
	}
	for tok, err := range admins[0].AllTokens(ctx, client.TokenFilter{Limit: 1000}) {
		if must(t, tok, err).IssueCount != 1 || tok.Generation != 1 {
			t.Fatalf("%+v", tok)
		}
	}
}

// holdersOf makes users, and a token for each; it returns the users by serial.
func holdersOf(t *testing.T, admin *client.Client, n int) map[string]string {
	t.Helper()
	ctx := t.Context()
	users := []string{}
	file := "user_id,name\n"
	for i := range n {
		id := fmt.Sprintf("user%05d", i)
		users = append(users, id)
		file += id + ",Name of " + id + "\n"
	}
	_, err := admin.ImportUsers(ctx, client.UserFile{File: []byte(file)})
	must(t, 0, err)
	for left := n; left > 0; left -= 10_000 {
		_, err := admin.CreateTokens(ctx, client.NewTokens{Count: min(left, 10_000)})
		must(t, 0, err)
	}
	given, err := admin.AssignMany(ctx, client.BulkAssignment{Users: users, Next: true})
	must(t, given, err)
	holders := map[string]string{}
	for _, row := range given.Rows {
		holders[row.Serial] = row.UserID
	}
	return holders
}

// issuedOnce looks for one event of each token's issue under the job's correlation ID.
func issuedOnce(t *testing.T, admin *client.Client, job string, n int) {
	t.Helper()
	seen := map[string]int{}
	f := client.EventFilter{Action: "dist.issue", Limit: 1000}
	for {
		page, err := admin.AuditEvents(t.Context(), f)
		must(t, page, err)
		for _, e := range page.Events {
			if e.CorrelationID == job {
				seen[e.Object]++
			}
		}
		if f.After = page.Next; f.After == "" {
			break
		}
	}
	for object, times := range seen {
		if times != 1 {
			t.Errorf("%s was issued %d times", object, times)
		}
	}
	if len(seen) != n {
		t.Errorf("%d tokens have an event of their issue", len(seen))
	}
}

// works downloads what a job left, and has codes of a random sample of it accepted: those of our reader, and those of stoken
// where it is installed. Each file opens with its own password.
func works(t *testing.T, p *process, job string, holders map[string]string) {
	t.Helper()
	ctx, admin := t.Context(), p.admin()
	var archive, table bytes.Buffer
	must(t, 0, admin.DownloadJobPart(ctx, job, "files", &archive))
	must(t, 0, admin.DownloadJobPart(ctx, job, "passwords", &table))
	z, err := zip.NewReader(bytes.NewReader(archive.Bytes()), int64(archive.Len()))
	must(t, z, err)
	rows, err := csv.NewReader(&table).ReadAll()
	must(t, rows, err)
	passwords := map[string]string{}
	for _, row := range rows[1:] {
		passwords[row[0]] = row[3]
	}
	if len(z.File) != len(holders) || len(passwords) != len(holders) || len(rows) != len(holders)+1 {
		t.Fatalf("%d files and %d passwords of %d tokens", len(z.File), len(rows)-1, len(holders))
	}
	for _, at := range mathrand.Perm(len(z.File))[:20] {
		f := z.File[at]
		serial := strings.TrimSuffix(f.Name[strings.LastIndex(f.Name, "_")+1:], ".sdtid")
		if f.Name != holders[serial]+"_"+serial+".sdtid" {
			t.Errorf("the file of %s is %s", serial, f.Name)
		}
		in, err := f.Open()
		must(t, in, err)
		content, err := io.ReadAll(in)
		must(t, content, err)
		code := fileCode(t, content, serial, passwords[serial])
		result, err := admin.Authenticate(ctx, holders[serial], client.Secret(code))
		if must(t, result, err) != client.Accepted {
			t.Errorf("a code of %s is %s", serial, result)
		}
	}
}

// fileCode is what an app shows now that has imported the file with its password.
func fileCode(t *testing.T, content []byte, serial, password string) string {
	t.Helper()
	if _, err := exec.LookPath("stoken"); err == nil {
		path := filepath.Join(t.TempDir(), serial+".sdtid")
		must(t, 0, os.WriteFile(path, content, 0o600))
		out, err := exec.CommandContext(t.Context(), "stoken", "tokencode", "--file="+path, "--password="+password, "--batch", "--use-time="+strconv.FormatInt(time.Now().Unix(), 10)).Output()
		return strings.TrimSpace(string(must(t, out, err)))
	}
	f, err := sdtid.Parse(content)
	must(t, f, err)
	tokens, err := f.Open(password)
	must(t, tokens, err)
	code, err := securid.Code(tokens[0].Seed, serial, tokens[0].Digits, tokens[0].Interval, time.Now())
	return must(t, code, err)
}

// many has tokens delivered by jobs, with passwords of their own and with activation codes, and fetches all of it.
func (w *witness) many(database string) {
	w.does("tallystick", "profile", "add", "bulk-file", "--device-type", "generic", "--delivery", "file", "--pin-type", "none")
	w.does("tallystick", "profile", "add", "bulk-code", "--device-type", "generic", "--delivery", "ctkip", "--pin-type", "none")
	w.does("tallystick", "token", "create", "--count", "6")
	for i := range 3 {
		id := fmt.Sprintf("bulk-%d", i)
		w.does("tallystick", "user", "add", id)
		w.does("tallystick", "token", "assign", "--user", id)
	}
	users := filepath.Join(w.work, "bulk-users")
	must(w, 0, os.WriteFile(users, []byte("bulk-0\nbulk-1\nbulk-2\n"), 0o600))
	one := w.file("password of many", "common delivery 91")
	for name, args := range map[string][]string{
		"individual": {"--profile", "bulk-file", "--individual-passwords"}, "common": {"--profile", "bulk-file", "--password-file", one}, "codes": {"--profile", "bulk-code"},
	} {
		out := filepath.Join(w.work, "out-"+name)
		w.does("tallystick", append([]string{"token", "distribute", "--select", "user-file:" + users, "--job-name", name, "--out", out}, args...)...)
		w.seeds(database)
		for _, table := range []string{"list.csv", "passwords.csv"} {
			text, err := os.ReadFile(filepath.Join(out, table))
			if os.IsNotExist(err) {
				continue
			}
			rows, err := csv.NewReader(bytes.NewReader(must(w, text, err))).ReadAll()
			for _, row := range must(w, rows, err)[1:] {
				if column := slices.Index(rows[0], "password"); column >= 0 {
					w.secret("password of "+row[0]+" in "+name, row[column])
				}
				if column := slices.Index(rows[0], "activation_code"); column >= 0 && row[column] != "" {
					w.secret("activation code of "+row[0]+" in "+name, row[column])
				}
			}
		}
		w.does("tallystick", "job", "show", name, "--json")
		w.does("tallystick", "job", "items", name, "--json")
		w.does("tallystick", "job", "watch", name)
	}
	w.does("tallystick", "job", "list", "--json")
	w.refused("tallystick", "token", "distribute", "--select", "user-file:"+users, "--profile", "bulk-file", "--individual-passwords", "--password-file", one)
}
