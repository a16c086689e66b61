package configuration_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/configuration"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

// folder holds files.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const whole = `# everything that a configuration can hold
policies:
  token: {pin_min: 6, excluded_words: [acme], emergency_life: 3d, delete_replaced: yes}
  lockout:
    unlock_after: 15m
settings: {warn_days: 60}
devices:
  - device_type: watch
    version: 1
    digits: 6
  - file: other.xml
profiles:
  - profile: phone
    device_type: android
    interval_seconds: 30
    activation_life: 90m
    self_service: false
  - profile: as it is
domains:
  - domain: berlin
  - {domain: office, parent: berlin, note: 3rd floor, policies: {lockout: {failures: 3, within: 2h}, token: inherit}}
radius_clients:
  - radius_client: vpn
    secret_file: vpn.secret
    domain: office
    reply_attributes: [{name: Class, value: 7}]
`

func TestLoad(t *testing.T) {
	dir := folder(t, map[string]string{"a.yaml": whole, "other.xml": "<DeviceDefinition/>", "vpn.secret": "sesame \n", "notes.txt": "%"})
	f, err := configuration.Load(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	secret := client.Secret("sesame ")
	want := client.Configuration{
		TokenPolicy:   &client.TokenPolicyEdit{PINMin: new(6), ExcludedWords: &[]string{"acme"}, EmergencyLifeSeconds: new(int64(3 * 86400)), DeleteReplaced: new(true)},
		LockoutPolicy: &client.LockoutPolicyEdit{UnlockAfterSeconds: new(int64(900))},
		Settings:      &client.SettingsEdit{WarnDays: new(60)},
		Profiles: []client.ConfiguredProfile{
			{Profile: "phone", Set: &client.ProfileEdit{DeviceType: new("android"), IntervalSeconds: new(30), ActivationLifeSeconds: new(int64(5400)), SelfService: new(false)}},
			{Profile: "as it is"},
		},
		Domains: []client.ConfiguredDomain{{Domain: "berlin"}, {Domain: "office", Set: &client.DomainEdit{Parent: new("berlin"), Note: new("3rd floor")},
			LockoutPolicy: &client.LockoutPolicyEdit{Failures: new(3), WithinSeconds: new(int64(7200))}, Inherit: []string{"token"}}},
		RADIUSClients: []client.ConfiguredRADIUSClient{{RADIUSClient: "vpn", Domain: "office", Set: &client.RADIUSClientEdit{
			Secret: &secret, ReplyAttributes: &[]client.RADIUSAttribute{{Name: "Class", Value: "7"}},
		}}},
	}
	devices := f.Devices
	f.Devices = nil
	if !reflect.DeepEqual(f.Configuration, want) {
		got, _ := json.Marshal(f.Configuration)
		t.Errorf("read %s", got)
	}
	if len(devices) != 2 || string(devices[1]) != "<DeviceDefinition/>" {
		t.Fatalf("devices %q", devices)
	}
	// A definition that stands in the configuration is refused for its line there.
	_, err = device.Parse(devices[0])
	var refused *fault.Error
	if !errors.As(err, &refused) || refused.Details["line"] != 8 {
		t.Errorf("%s: %v", devices[0], err)
	}
}

const notices = `
groups:
  - {group: sales, domain: office, note: they sell}
agents:
  - agent: vpn
    networks: [192.0.2.0/24]
directories:
  - directory: ldap
    kind: ad
    url: ldaps://ldap.example.com
    ca_file: ca.pem
    password_env: TALLYSTICK_TEST_PASSWORD
    every: 1h
mail_settings:
  host: mail.example.com
  password_file: mail.secret
  expiry_days: [30, 7]
mail_templates:
  - event: expiry
    profile: phone
    text_file: expiry.txt
    html: ""
webhooks:
  - webhook: crm
    url: https://hooks.example.com
    secret_file: hook.secret
    give_up_hours: 48
report_schedules:
  - schedule: mondays
    report: expiring
    filters: {within: 30}
    every: week
    weekday: monday
    at: 07:30
`

func TestLoadPeopleAndNotices(t *testing.T) {
	t.Setenv("TALLYSTICK_TEST_PASSWORD", "open sesame")
	dir := folder(t, map[string]string{
		"a.yaml": notices, "ca.pem": "PEM\n", "mail.secret": "password\n", "expiry.txt": "Soon over.\nReally.\n", "hook.secret": "two dozen bytes of secret\n",
	})
	f, err := configuration.Load(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := client.Configuration{
		Groups: []client.ConfiguredGroup{{Group: "sales", Domain: "office", Set: &client.GroupEdit{Note: new("they sell")}}},
		Agents: []client.ConfiguredAgent{{Agent: "vpn", Set: &client.AgentEdit{Networks: &[]string{"192.0.2.0/24"}}}},
		Directories: []client.ConfiguredDirectory{{Directory: "ldap", Kind: "ad", Set: &client.DirectoryEdit{
			URL: new("ldaps://ldap.example.com"), CA: new("PEM\n"), Password: new(client.Secret("open sesame")), EverySeconds: new(int64(3600)),
		}}},
		MailSettings:  &client.MailSettingsEdit{Host: new("mail.example.com"), Password: new(client.Secret("password")), ExpiryDays: &[]int{30, 7}},
		MailTemplates: []client.ConfiguredMailTemplate{{Event: "expiry", Profile: "phone", Set: &client.MailTemplateEdit{Text: new("Soon over.\nReally.\n"), HTML: new("")}}},
		Webhooks: []client.ConfiguredWebhook{{Webhook: "crm", Set: &client.WebhookEdit{
			URL: new("https://hooks.example.com"), Secret: new(client.Secret("two dozen bytes of secret")), GiveUpHours: new(48),
		}}},
		ReportSchedules: []client.ConfiguredReportSchedule{{Schedule: "mondays", Set: &client.ReportScheduleEdit{
			Report: new("expiring"), Filters: &map[string]string{"within": "30"}, Every: new("week"), Weekday: new("monday"), At: new("07:30"),
		}}},
	}
	if !reflect.DeepEqual(f.Configuration, want) {
		got, _ := json.Marshal(f.Configuration)
		t.Errorf("read %s", got)
	}
	for line, details := range map[string]map[string]any{
		"a.yaml:3":  {"kind": "groups", "name": "sales"},
		"a.yaml:11": {"member": "directories/0/set/ca"},
		"a.yaml:17": {"member": "mail_settings/expiry_days"},
		"a.yaml:19": {"kind": "mail_templates", "name": "expiry for phone"},
		"a.yaml:33": {"member": "report_schedules/0/set/weekday"},
	} {
		err := f.Explain(&client.Error{Code: "X", Message: "words", Details: details})
		if !strings.HasSuffix(strings.TrimSuffix(err.Error(), ": words"), line) {
			t.Errorf("%v: %v, want %s", details, err, line)
		}
	}
}

func TestExplain(t *testing.T) {
	dir := folder(t, map[string]string{"a.yaml": whole, "other.xml": "<DeviceDefinition/>", "vpn.secret": "sesame"})
	f, err := configuration.Load(filepath.Join(dir, "a.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for line, details := range map[string]map[string]any{
		"a.yaml:3":    {"member": "token_policy/pin_min"},
		"a.yaml:5":    {"member": "lockout_policy/unlock_after_seconds"},
		"a.yaml:6":    {"kind": "settings", "name": ""},
		"a.yaml:8":    {"kind": "devices", "name": "watch"},
		"a.yaml:10":   {"kind": "devices", "name": "#0", "line": 10.0},
		"other.xml:7": {"kind": "devices", "name": "#1", "line": 7.0},
		"a.yaml:13":   {"kind": "profiles", "name": "phone"},
		"a.yaml:21":   {"member": "domains/1/set/note"},
		"a.yaml:16":   {"member": "profiles/0/set/activation_life_seconds"},
		"a.yaml:26":   {"member": "radius_clients/0/set/reply_attributes/0/value"},
	} {
		err := f.Explain(&client.Error{Code: "X", Message: "words", Details: details})
		if !strings.HasSuffix(strings.TrimSuffix(err.Error(), ": words"), line) {
			t.Errorf("%v: %v, want %s", details, err, line)
		}
	}
	for _, err := range []error{errors.New("disk"), &client.Error{Message: "x"}} {
		if got := f.Explain(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// Objects are counted over all files of a folder.
func TestExplainOfTheSecondFile(t *testing.T) {
	f, err := configuration.Load(folder(t, map[string]string{"a.yaml": "domains: [{domain: a}]", "b.yaml": "\ndomains: [{domain: b, note: x}]"}), nil)
	if err != nil {
		t.Fatal(err)
	}
	for member, line := range map[string]string{"domains/0/domain": "a.yaml:1", "domains/1/domain": "b.yaml:2", "domains/1/set/note": "b.yaml:2"} {
		err := f.Explain(&client.Error{Code: "X", Message: "words", Details: map[string]any{"member": member}})
		if !strings.HasSuffix(strings.TrimSuffix(err.Error(), ": words"), line) {
			t.Errorf("%s: %v, want %s", member, err, line)
		}
	}
}

func TestRefusals(t *testing.T) {
	for text, want := range map[string]string{
		"a: [": "2: this is neither YAML nor JSON",
		"- a":  "1: a configuration is an object",
		"domains: [{domain: a, policies: {pin: {}}}]":           `1: there is no policy "pin"`,
		"domains: [{domain: a, policies: {token: {}}}]":         "1: the token policy of a domain is an object, or the word inherit",
		"domains: [{domain: a, policies: {token: {pin: 4}}}]":   `1: there is no "pin" here`,
		"domains: [{domain: a, policies: {lockout: inherits}}]": "1: the lockout policy of a domain is an object, or the word inherit",
		"profile: []":                                                      `1: a configuration has no "profile"`,
		"settings: {}\nsettings: {}":                                       `2: "settings" is there twice: it is on line 1 already`,
		"settings:\n  warn_day: 1":                                         `2: there is no "warn_day" here: there are activation_code_digits`,
		"settings: {warn_days: many}":                                      `1: "many" is no whole number`,
		"settings: {warn_days: 1.5}":                                       `1: "1.5" is no whole number`,
		"settings: {no_pins: maybe}":                                       `1: "maybe" is neither true nor false`,
		"settings: {no_pins: }":                                            `1: a value is expected here`,
		"settings: {result_life: long}":                                    `1: "long" is no length of time`,
		"settings: {result_life: 1.5s}":                                    `1: "1.5s" is no length of time`,
		"settings: {result_life: -1d}":                                     `1: "-1d" is no length of time`,
		"settings: []\n":                                                   "1: this is an object",
		"settings: {warn_days: 1}\n---\nsettings: {warn_days: 2}":          "3: settings are in ",
		"policies: {pin: {}}":                                              `1: there is no policy "pin"`,
		"policies: {token: {excluded_words: a}}":                           "1: this is a list",
		"profiles: {}":                                                     "1: profiles is a list",
		"profiles:\n  - device_type: ios":                                  "2: this takes a name: profile",
		"profiles:\n  - profile: [a]":                                      "2: profile takes a text",
		"profiles:\n  - profile: a\n  - profile: a":                        "3: profile a is in ",
		"profiles: [{profile: a, secret: b}]":                              `1: there is no "secret" here`,
		"profiles: [{profile: a, digits: &x 6}, {profile: b, digits: *x}]": "1: anchors and aliases are not taken here",
		"radius_clients: [{radius_client: a, secret: b}]":                  `1: there is no "secret" here`,
		"radius_clients:\n- radius_client: a\n  secret_file: nosuch":       "3: the file of the secret cannot be read",
		"radius_clients:\n- radius_client: a\n  secret_file: empty":        "3: empty is empty",
		"radius_clients:\n- radius_client: a\n  secret_file: latin":        "3: latin is not text in UTF-8",
		"mail_templates: [{event: expiry, html_file: latin}]":              "1: the file of the html is not text in UTF-8",
		`radius_clients: [{radius_client: a, "": b}]`:                      `1: there is no "" here: there are address`,
		"webhooks: [{webhook: a, secret: b}]":                              `1: there is no "secret" here`,
		"webhooks: [{webhook: a, after: 1}]":                               `1: there is no "after" here`,
		"webhooks: [{webhook: a, secret_file: empty}]":                     "1: empty is empty",
		"webhooks: [{webhook: a, secret_file: a, secret_env: B}]":          "1: secret_file and secret_env are two places of one secret",
		"webhooks: [{webhook: a, secret_env: TALLYSTICK_TEST_UNSET}]":      "1: the variable TALLYSTICK_TEST_UNSET is not set",
		"directories: [{directory: a, password: b}]":                       `1: there is no "password" here`,
		"mail_settings: {password: b}":                                     `1: there is no "password" here`,
		"mail_settings: []":                                                "1: this is an object",
		"mail_templates: [{subject: a}]":                                   "1: this takes a name: event",
		"mail_templates: [{event: expiry, text: a, text_file: empty}]":     `1: "text" is there twice`,
		"mail_templates: [{event: expiry, html_file: nosuch}]":             "1: the file of the html cannot be read",
		"mail_templates: [{event: a}, {event: a}]":                         "1: the template of a is in ",
		"report_schedules: [{schedule: a, filters: [b]}]":                  "1: this is an object",
		"groups: [{group: a, members: [b]}]":                               `1: there is no "members" here`,
		"agents: [{agent: a, credentials: []}]":                            `1: there is no "credentials" here`,
		"devices: [{file: nosuch}]":                                        "1: the definition file cannot be read",
		"devices: [{file: empty, version: 1}]":                             "1: with a file, nothing else is said of a device",
		"devices:\n- &a {version: 1}\n- {title: *a}":                       "3: anchors and aliases are not taken here",
	} {
		dir := folder(t, map[string]string{"c.yaml": text, "empty": "\n", "latin": "m\xfcller\n"})
		_, err := configuration.Load(filepath.Join(dir, "c.yaml"), nil)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "c.yaml:"+want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := configuration.Load(t.TempDir(), nil); !errors.Is(err, fault.Invalid) {
		t.Errorf("an empty folder: %v", err)
	}
	if _, err := configuration.Load(filepath.Join(t.TempDir(), "nosuch"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := configuration.Load("-", strings.NewReader(strings.Repeat(" ", 3<<20))); !errors.Is(err, fault.TooLarge) {
		t.Errorf("a large file: %v", err)
	}
	if f, err := configuration.Load("-", strings.NewReader("# nothing\n")); err != nil || !reflect.DeepEqual(f.Configuration, client.Configuration{}) {
		t.Errorf("nothing: %+v, %v", f, err)
	}
}

func TestLivesAreReadAsTheyAreWritten(t *testing.T) {
	for _, seconds := range []int64{0, 1, 59, 60, 90, 3600, 5400, 86400, 90000, 604800} {
		text := configuration.Life(seconds)
		if d, err := configuration.ParseLife(text); err != nil || d != time.Duration(seconds)*time.Second {
			t.Errorf("%d s are written %s and read %s, %v", seconds, text, d, err)
		}
	}
}

// Whatever a file holds, it is read or refused.
func FuzzLoad(f *testing.F) {
	f.Add(whole)
	f.Add(`{"profiles":[{"profile":"a"}],"policies":{"token":{}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "file") { // would be looked for
			return
		}
		if _, err := configuration.Load("-", strings.NewReader(text)); err != nil && fault.CodeOf(err) == "" {
			t.Errorf("no refusal: %v", err)
		}
	})
}
