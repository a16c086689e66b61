package distribution_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/internal/authentication"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/peertest"
	"github.com/tallystick/tallystick/internal/profile"
	"github.com/tallystick/tallystick/internal/token"
)

// Device IDs of the built-in device type android.
const (
	phone = "d82c467c56fb2058edf8add6"
	newer = "a01b567c56fb2058edf8add7"
)

// runOn runs a job over serials with the IDs of their devices, and returns what became of each.
func (c *crew) runOn(b distribution.Bulk, dryRun bool, of map[string]string) map[string]string {
	c.Helper()
	order, err := c.dist.Order(c.ctx, b)
	c.must(err)
	order.DryRun = dryRun
	return c.runOrder(order, of, func(id string) []byte { return fmt.Appendf(nil, "\n{%q:%q}", "device_id", id) })
}

// runOrder runs a job with inputs that are made of device IDs.
func (c *crew) runOrder(order job.Order, of map[string]string, input func(id string) []byte) map[string]string {
	c.Helper()
	order.Items = func(yield func(job.NewItem, error) bool) {
		for _, serial := range c.serials() {
			if id, named := of[serial]; named && !yield(job.NewItem{Key: serial, Input: input(id)}, nil) {
				return
			}
		}
	}
	c.Pass(time.Millisecond) // names of jobs have the time
	j, err := c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	return c.outcomes(j)
}

func (c *crew) became(got, want map[string]string) {
	c.Helper()
	for serial, outcome := range want {
		if got[serial] != outcome {
			c.Errorf("%s: %s, want %s", serial, got[serial], outcome)
		}
	}
}

func TestDevicesOfManyTokens(t *testing.T) {
	c := newCrew(t, 4)
	bind := func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindDeviceID }
	c.profile("bound", device.CTF, bind)
	c.profile("desktop", device.File, func(p *profile.Profile) { p.DeviceType, p.Binding = "windows", profile.BindDeviceID })
	c.profile("class", device.CTF, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindClass })
	s := c.serials()
	first := distribution.Bulk{Profile: "bound", Grace: -1}
	list := map[string]string{s[0]: phone, s[1]: "", s[2]: "shorty", s[3]: newer}
	want := map[string]string{s[0]: "done", s[1]: "failed DEVICE_ID_REQUIRED", s[2]: "failed DEVICE_ID_INVALID", s[3]: "done"}
	c.became(c.runOn(first, true, list), want)
	if tok := c.token(s[0]); tok.DeviceID != "" || tok.IssueCount != 0 {
		t.Errorf("the dry run changed %+v", tok)
	}
	c.became(c.runOn(first, false, list), want)
	if got := c.token(s[0]).DeviceID + c.token(s[3]).DeviceID; got != phone+newer {
		t.Errorf("bound to %s", got)
	}

	// Again: the ID that is known does where the user's device is the same, and no other.
	all := map[string]string{s[0]: "", s[3]: phone}
	for reason, want := range map[distribution.Reason]string{
		distribution.Compromised: "done", distribution.ChangeAttributes: "done", distribution.NotReceived: "done",
		distribution.NewDevice: "failed DEVICE_ID_REQUIRED", distribution.LostDevice: "failed DEVICE_ID_REQUIRED",
	} {
		b := first
		b.Reason = reason
		c.became(c.runOn(b, false, all), map[string]string{s[0]: want, s[3]: "done"})
		if got := c.token(s[0]).DeviceID + c.token(s[3]).DeviceID; got != phone+phone {
			t.Errorf("%s: bound to %s", reason, got)
		}
	}
	// To a profile of another device type the known device does not fit.
	other := distribution.Bulk{Profile: "desktop", Grace: -1, Reason: distribution.ChangeAttributes}
	c.became(c.runOn(other, true, all), map[string]string{s[0]: "failed PROFILE_DEVICE_MISMATCH"})
	c.became(c.runOn(other, false, all), map[string]string{s[0]: "failed PROFILE_DEVICE_MISMATCH"})
	// A device class takes no ID.
	c.became(c.runOn(distribution.Bulk{Profile: "class", Grace: -1}, false, map[string]string{s[1]: ""}), map[string]string{s[1]: "done"})
	if _, err := c.dist.Redistribute(c.ctx, distribution.Request{Serial: s[0], Profile: "bound", Grace: -1}, distribution.NotReceived, ""); err != nil {
		t.Errorf("one token, with the ID that is known: %v", err)
	}
}

// What was given to a device that is new is offered to it again.
func TestOfferedAgainToTheNewDevice(t *testing.T) {
	c := newCrew(t, 1)
	c.profile("bound", device.CTF, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindDeviceID })
	serial := c.serials()[0]
	_, err := c.dist.Distribute(c.ctx, distribution.Request{Serial: serial, Profile: "bound", Grace: -1, DeviceID: phone})
	c.must(err)
	order, err := c.dist.Order(c.ctx, distribution.Bulk{Profile: "bound", Grace: -1, Reason: distribution.NewDevice})
	c.must(err)
	order.Items = func(yield func(job.NewItem, error) bool) { yield(job.NewItem{Key: serial, Input: []byte(newer)}, nil) }
	j, err := c.jobs.Start(c.ctx, order)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	again, err := c.results.OfferAgain(c.ctx, c.shown(j))
	c.must(err)
	c.Pass(time.Second)
	again.Name, again.Items = "again", unseen([]string{serial})
	j, err = c.jobs.Start(c.ctx, again)
	c.must(err)
	c.must(c.jobs.RunAll(c.ctx))
	c.became(c.outcomes(j), map[string]string{serial: "done"})
	if tok := c.token(serial); tok.DeviceID != newer {
		t.Errorf("bound to %q", tok.DeviceID)
	}
}

// A token that was never delivered is not delivered again: that would be a first delivery by the right to make others.
func TestRedistributingWhatWasNeverDelivered(t *testing.T) {
	c := newCrew(t, 2)
	c.profile("strings", device.CTF, func(*profile.Profile) {})
	s := c.serials()
	first := distribution.Request{Serial: s[0], Profile: "strings", Grace: -1}
	if _, err := c.dist.Redistribute(c.ctx, first, distribution.NotReceived, ""); fault.CodeOf(err) != fault.NotDistributed {
		t.Error(err)
	}
	_, err := c.dist.Distribute(c.ctx, first)
	c.must(err)
	// Nor is one that its former user had.
	tok := c.token(s[0])
	former, users := tok.UserID, &token.Registry{Store: c.db, Now: c.dist.Now}
	_, err = users.Unassign(c.ctx, s[0], 0)
	c.must(err)
	_, err = users.Assign(c.ctx, s[0], former)
	c.must(err)
	if _, err := c.dist.Redistribute(c.ctx, first, distribution.NotReceived, ""); fault.CodeOf(err) != fault.NotDistributed {
		t.Error(err)
	}
	_, err = c.dist.Distribute(c.ctx, first)
	c.must(err)
	again := distribution.Bulk{Profile: "strings", Grace: -1, Reason: distribution.NotReceived}
	c.became(c.runOn(again, false, map[string]string{s[0]: "", s[1]: ""}), map[string]string{s[0]: "done", s[1]: "failed NOT_DISTRIBUTED"})
	if tok := c.token(s[1]); tok.IssueCount != 0 || tok.LastNumber != 1 {
		t.Errorf("%+v", tok)
	}
	used := c.token(s[1]) // one that came with a seed which is in use, of the profile's settings
	used.Current.Settings.PINType = device.NoPIN
	c.must(c.db.SaveToken(c.ctx, used))
	used = c.token(s[1])
	clock := used.Current.Clock
	clock.LastUsedAt = c.Now()
	c.must(c.db.Settle(c.ctx, authentication.Settlement{Uses: []authentication.Use{{Serial: s[1], Version: used.Version, Number: 1, Before: used.Current.Clock, After: clock}}}))
	first.Serial = s[1]
	out, err := c.dist.Redistribute(c.ctx, first, distribution.ChangeAttributes, "")
	c.must(err)
	if now := c.token(s[1]); out.Generation != 2 || slices.Equal(now.Current.Fingerprint, used.Current.Fingerprint) {
		t.Errorf("generation %d of the seed that was in use", out.Generation)
	}
}

// stoken opens what a job bound to a device with that device's ID, and a string with no other.
func TestStokenOpensWhatIsBound(t *testing.T) {
	peertest.Need(t, "stoken")
	c := newCrew(t, 1)
	c.profile("string", device.CTF, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindDeviceID })
	c.profile("file", device.File, func(p *profile.Profile) { p.DeviceType, p.Binding = "android", profile.BindDeviceID })
	serial := c.serials()[0]
	for _, method := range []string{"string", "file"} {
		order, err := c.dist.Order(c.ctx, distribution.Bulk{Profile: method, Grace: -1})
		c.must(err)
		order.Name = method
		order.Items = func(yield func(job.NewItem, error) bool) { yield(job.NewItem{Key: serial, Input: []byte(phone)}, nil) }
		j, err := c.jobs.Start(c.ctx, order)
		c.must(err)
		c.must(c.jobs.RunAll(c.ctx))
		var from string
		if method == "string" {
			from = "--token=" + c.table(c.shown(j), distribution.List)[serial]["ctf_url"]
		} else {
			path := filepath.Join(t.TempDir(), "token.sdtid")
			for _, content := range c.files(c.part(c.shown(j), distribution.Files)) {
				c.must(os.WriteFile(path, content, 0o600))
			}
			from = "--file=" + path
		}
		show := func(id string) (string, error) {
			out, err := exec.CommandContext(c.ctx, "stoken", "tokencode", from, "--devid="+id, "--batch", "--use-time="+strconv.FormatInt(c.Now().Unix(), 10)).CombinedOutput()
			return strings.TrimSpace(string(out)), err
		}
		code, err := show(phone)
		if err != nil {
			t.Errorf("%s: %v: %s", method, err, code)
			continue
		}
		c.accepted(serial, code, authentication.Accepted)
		if code, err := show(newer); err == nil && method == "string" { // of a file it does not look at the device
			t.Errorf("%s opens with another device ID: %s", method, code)
		}
	}
}

// A device that holds as many tokens as it can takes no more (section 4.1). The server goes by what was delivered.
func TestFullDevices(t *testing.T) {
	c := newCrew(t, 5)
	_, err := c.profiles.AddDevices(c.ctx, small(t), false)
	c.must(err)
	c.dist.Devices.(*device.Registry).Forget()
	c.profile("small", device.File, func(p *profile.Profile) { p.DeviceType, p.Binding = "small", profile.BindAsk })
	c.profile("large", device.File, func(p *profile.Profile) { p.DeviceType = "generic" })
	s := c.serials()
	for n, serial := range s { // of the first user, all but the last
		if n > 0 && n < 4 {
			tok := c.token(serial)
			tok.UserID = c.holders[s[0]]
			c.must(c.db.SaveToken(c.ctx, tok))
		}
	}
	b := distribution.Bulk{Profile: "small", Grace: -1}
	everybody := map[string]string{s[0]: "", s[1]: "", s[2]: "", s[4]: ""}
	want := map[string]string{s[0]: "done", s[1]: "done", s[2]: "failed TOKEN_LIMIT_REACHED", s[4]: "done"}
	c.became(c.runOn(b, true, everybody), want)
	c.became(c.runOn(b, false, everybody), want)
	c.became(c.runOn(b, false, map[string]string{s[0]: "", s[2]: ""}), map[string]string{s[0]: "done", s[2]: "failed TOKEN_LIMIT_REACHED"}) // its own place is its own
	_, err = c.dist.Distribute(c.ctx, distribution.Request{Serial: s[2], Profile: "small", Grace: -1})
	c.refused(err, fault.TokenLimit)
	_, err = c.dist.Distribute(c.ctx, distribution.Request{Serial: s[2], Profile: "large", Grace: -1}) // another device
	c.must(err)

	// Bound to another device of the type, one has room; and one that is lost or over takes none. A dash makes no other device.
	c.became(c.runOn(b, false, map[string]string{s[0]: "11112222", s[1]: "11112222", s[3]: "1111-2222"}), map[string]string{s[0]: "done", s[1]: "done", s[3]: "failed TOKEN_LIMIT_REACHED"})
	c.became(c.runOn(b, true, map[string]string{s[3]: "33334444"}), map[string]string{s[3]: "done"})
	for _, change := range []func(*token.Token){func(r *token.Token) { r.Lose(c.Now(), true) }, func(r *token.Token) { r.EffectiveExpiry = c.Now().AddDate(0, 0, -2) }} {
		was := c.token(s[0])
		is := was
		change(&is)
		c.must(c.db.SaveToken(c.ctx, is))
		c.became(c.runOn(b, true, map[string]string{s[3]: "11112222"}), map[string]string{s[3]: "done"})
		was.Version = c.token(s[0]).Version
		c.must(c.db.SaveToken(c.ctx, was))
	}
	if page := c.outcomes(c.run(b, true, s[3])); page[s[3]] != "failed TOKEN_LIMIT_REACHED" {
		t.Errorf("without a device: %v", page)
	}
}

// small is the definition of a device that holds two tokens.
func small(t *testing.T) []device.Definition {
	t.Helper()
	content, err := device.Parse([]byte(`{"device_type": "small", "version": 1, "digits": [6, 8], "interval_seconds": [60], "pin_types": ["pinpad", "fob", "none"],
		"delivery_methods": ["file"], "device_id_pattern": "[0-9]{4}-?[0-9]{4}", "max_tokens": 2}`))
	if err != nil {
		t.Fatal(err)
	}
	return content.Definitions
}
