package device_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

func parsed(t testing.TB, name string) device.Content {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := device.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return c
}

// The three forms of one definition are the same, and as it is written here.
func TestForms(t *testing.T) {
	want := device.Definition{
		Name: "field-app", Title: "Field app <2>", Version: 2, Digits: []int{6, 8}, Intervals: []int{60}, PINTypes: []device.PINType{device.PINPad, device.Fob},
		KeyBits: 128, Methods: []device.Method{device.CTKIP, device.CTF}, QR: false, ClassGUID: "12345678-9abc-def0-1234-56789abcdef0",
		CTFVersion: 3, CTFLinks: []device.Link{device.LinkAndroid, device.LinkIOS}, CTKIPLinks: []device.Link{device.LinkLoopback, device.LinkSecurID},
		Nickname: 20, MaxPassword: 16, MaxTokens: 10,
	}
	for _, name := range []string{"field.xml", "field.json", "field.yaml"} {
		c := parsed(t, name)
		if len(c.Definitions) != 1 {
			t.Fatalf("%s: %+v", name, c)
		}
		d := c.Definitions[0]
		if d.DeviceID == nil || d.DeviceID.String() != "[0-9a-f]{24}" {
			t.Errorf("%s: device IDs are %v", name, d.DeviceID)
		}
		d.DeviceID = nil
		if !reflect.DeepEqual(d, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, d, want)
		}
	}
}

func TestDefaultsAndLeniency(t *testing.T) {
	c := parsed(t, "least.xml")
	if len(c.Definitions) != 2 || len(c.Warnings) != 2 || !strings.Contains(c.Warnings[0], "line 9: Vendor") || !strings.Contains(c.Warnings[1], "line 13: the attribute unit") {
		t.Fatalf("%+v", c)
	}
	d := c.Definitions[0]
	want := device.Definition{
		Name: "my-app-2", Title: "My App 2", Version: 1, Digits: []int{6, 8}, Intervals: []int{30}, PINTypes: []device.PINType{device.NoPIN},
		KeyBits: 128, Methods: []device.Method{device.CTKIP, device.CTF, device.File}, QR: true, CTFVersion: 2, CTFLinks: []device.Link{device.LinkIOS},
		CTKIPLinks: []device.Link{device.LinkSecurID}, Nickname: 24, MaxPassword: 24,
	}
	if !reflect.DeepEqual(d, want) {
		t.Errorf("got  %+v\nwant %+v", d, want)
	}
	if other := c.Definitions[1]; other.Name != "other" || !other.TakesDeviceID("ab-cd 12") || other.TakesDeviceID("abc") {
		t.Errorf("%+v", other)
	}
}

// What is stored, or written by 'device export', is read as it was.
func TestWrittenDefinitionsAreReadAgain(t *testing.T) {
	for _, d := range device.NewCatalog(nil).All() {
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		c, err := device.Parse(text)
		if err != nil || len(c.Definitions) != 1 {
			t.Fatalf("%s: %v", text, err)
		}
		again, _ := json.MarshalIndent(c.Definitions[0], "", "  ")
		if string(again) != string(text) {
			t.Errorf("wrote %s\nread %s", text, again)
		}
	}
}

const complete = `"device_type":"a","version":1,"digits":[6],"interval_seconds":[60],"pin_types":["fob"],"delivery_methods":["ctf"]`

func TestRefusals(t *testing.T) {
	root := `<DeviceDefinition Name="a" Version="1" CodeLengths="6" Intervals="60" PINTypes="fob" DeliveryMethods="ctf"`
	deep := strings.Repeat("<a>", 40)
	for name, c := range map[string]struct {
		file string
		code fault.Code
		line int
	}{
		"nothing":                {"", fault.DeviceInvalid, 1},
		"blanks":                 {" \n\n", fault.DeviceInvalid, 1},
		"a text":                 {"hello", fault.DeviceInvalid, 1},
		"no JSON":                {"{\n\"a\": [}", fault.DeviceInvalid, 2},
		"an empty list":          {"[]", fault.DeviceInvalid, 1},
		"a list of texts":        {"[\n\"a\"]", fault.DeviceInvalid, 2},
		"unknown member":         {"{" + complete + ",\n\"colour\":\"red\"}", fault.DeviceInvalid, 2},
		"member twice":           {"{" + complete + ",\n\"version\":2}", fault.DeviceInvalid, 2},
		"other name, twice":      {"{" + complete + ",\n\"CodeLengths\":[8]}", fault.DeviceInvalid, 2},
		"object as value":        {"{" + complete + ",\n\"title\":{}}", fault.DeviceInvalid, 2},
		"list in list":           {"{" + complete + ",\n\"ctf_links\":[[]]}", fault.DeviceInvalid, 2},
		"list for one":           {"{" + complete + ",\n\"title\":[\"a\",\"b\"]}", fault.DeviceInvalid, 2},
		"alias":                  {"- &a {" + complete + "}\n- *a\n", fault.DeviceInvalid, 2},
		"two documents":          {"{" + complete + "}\n---\n{}", fault.DeviceInvalid, 2},
		"same name twice":        {"[{" + complete + "},\n{" + complete + "}]", fault.DeviceDuplicate, 2},
		"no version":             {"\n{" + strings.Replace(complete, `"version":1,`, "", 1) + "}", fault.DeviceInvalid, 2},
		"version in words":       {"{" + strings.Replace(complete, `1`, `"1.0"`, 1) + "}", fault.DeviceInvalid, 1},
		"version 0":              {"{" + strings.Replace(complete, `1`, `0`, 1) + "}", fault.DeviceUnsupported, 1},
		"bad name":               {"{" + strings.Replace(complete, `"a"`, `"ä"`, 1) + "}", fault.DeviceInvalid, 1},
		"seven digits":           {"{" + strings.Replace(complete, `[6]`, "[6,\n7]", 1) + "}", fault.DeviceUnsupported, 2},
		"digits twice":           {"{" + strings.Replace(complete, `[6]`, "[6,\n6]", 1) + "}", fault.DeviceInvalid, 2},
		"45 seconds":             {"{" + strings.Replace(complete, `60`, "45", 1) + "}", fault.DeviceUnsupported, 1},
		"unknown PIN":            {"{" + strings.Replace(complete, `fob`, "finger", 1) + "}", fault.DeviceUnsupported, 1},
		"unknown way":            {"{" + strings.Replace(complete, `"ctf"`, `"pigeon"`, 1) + "}", fault.DeviceUnsupported, 1},
		"64-bit seeds":           {"{" + complete + ",\n\"key_bits\":64}", fault.DeviceUnsupported, 2},
		"unknown link":           {"{" + complete + ",\n\"ctkip_links\":[\"myapp://ctkip\"]}", fault.DeviceUnsupported, 2},
		"link of the other kind": {"{" + complete + ",\n\"ctf_links\":[\"securid\"]}", fault.DeviceUnsupported, 2},
		"string v1":              {"{" + complete + ",\n\"ctf_version\":1}", fault.DeviceUnsupported, 2},
		"long nickname":          {"{" + complete + ",\n\"max_nickname\":25}", fault.DeviceUnsupported, 2},
		"short password":         {"{" + complete + ",\n\"max_password\":7}", fault.DeviceUnsupported, 2},
		"no GUID":                {"{" + complete + ",\n\"class_guid\":\"phones\"}", fault.DeviceUnsupported, 2},
		"bad pattern":            {"{" + complete + ",\n\"device_id_pattern\":\"(\"}", fault.DeviceInvalid, 2},
		"pattern and length":     {"{" + complete + ",\"device_id_pattern\":\"a\",\n\"device_id_length\":8}", fault.DeviceInvalid, 2},
		"length upside down":     {"{" + complete + ",\n\"device_id_length\":\"9-8\"}", fault.DeviceInvalid, 2},
		"neither true nor false": {"{" + complete + ",\n\"qr\":\"maybe\"}", fault.DeviceInvalid, 2},
		"title of two lines":     {"{" + complete + ",\n\"title\":\"a\\u0007b\"}", fault.DeviceInvalid, 2},

		"DOCTYPE":             {"<?xml version=\"1.0\"?>\n<!DOCTYPE x [<!ENTITY a \"b\">]>" + root + "/>", fault.DeviceInvalid, 2},
		"entity":              {root + ">\n<Title>&a;</Title></DeviceDefinition>", fault.DeviceInvalid, 2},
		"other root":          {"<!-- -->\n<Device/>", fault.DeviceInvalid, 2},
		"second root":         {root + "/>\n" + root + "/>", fault.DeviceInvalid, 2},
		"text after the root": {root + "/>\n more", fault.DeviceInvalid, 1},
		"not closed":          {root + ">\n<Title>", fault.DeviceInvalid, 2},
		"deep":                {root + ">" + deep, fault.DeviceInvalid, 1},
		"attribute twice":     {"\n" + root + ` Name="b"/>`, fault.DeviceInvalid, 2},
		"element twice":       {root + ">\n<Version>2</Version></DeviceDefinition>", fault.DeviceInvalid, 2},
		"text and elements":   {root + "><Title>\na<b>c</b></Title></DeviceDefinition>", fault.DeviceInvalid, 1},
		"text in between":     {"\n" + root + ">text</DeviceDefinition>", fault.DeviceInvalid, 2},
		"other child":         {"<DeviceDefinitions>\n<Profile/></DeviceDefinitions>", fault.DeviceInvalid, 2},
		"none inside":         {"<DeviceDefinitions/>", fault.DeviceInvalid, 1},
		"other encoding":      {`<?xml version="1.0" encoding="ISO-8859-1"?>` + root + "/>", fault.DeviceInvalid, 1},
		"not UTF-8":           {root + ">\n<Title>\xff</Title></DeviceDefinition>", fault.DeviceInvalid, 2},
	} {
		_, err := device.Parse([]byte(c.file))
		var refused *fault.Error
		if !errors.As(err, &refused) || refused.Code != c.code || refused.Details["line"] != c.line {
			t.Errorf("%s: %v (%s), want %s on line %d", name, err, fault.CodeOf(err), c.code, c.line)
		}
	}
	if _, err := device.Parse(make([]byte, device.MaxFile+1)); !errors.Is(err, fault.TooLarge) {
		t.Errorf("a large file: %v", err)
	}
	many := "[" + strings.Repeat("{"+complete+"},", 64) + "{" + complete + "}]"
	if _, err := device.Parse([]byte(many)); !errors.Is(err, fault.DeviceInvalid) {
		t.Errorf("65 definitions: %v", err)
	}
}

// Whatever a file holds, it is read or refused; what is read is written and read again as it was.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"field.xml", "field.json", "field.yaml", "least.xml"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("{" + complete + "}"))
	f.Fuzz(func(t *testing.T, file []byte) {
		c, err := device.Parse(file)
		if err != nil {
			if fault.CodeOf(err) == "" {
				t.Fatalf("no refusal: %v", err)
			}
			return
		}
		for _, d := range c.Definitions {
			text, err := json.Marshal(d)
			if err != nil {
				t.Fatal(err)
			}
			again, err := device.Parse(text)
			if err != nil || len(again.Definitions) != 1 {
				t.Fatalf("%s: %v", text, err)
			}
			if twice, _ := json.Marshal(again.Definitions[0]); string(twice) != string(text) {
				t.Fatalf("wrote %s\nread %s", text, twice)
			}
		}
	})
}
