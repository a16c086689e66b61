package directory

import "testing"

func TestStranger(t *testing.T) {
	for name, c := range map[string]struct {
		was      Person
		identity string
		want     bool
	}{
		"herself":                        {Person{Entry: "entryUUID=1"}, "entryUUID=1", false},
		"another":                        {Person{Entry: "entryUUID=1"}, "entryUUID=2", true},
		"by another attribute":           {Person{Entry: "entryUUID=1"}, "ipaUniqueID=1", false},
		"not told":                       {Person{Entry: "entryUUID=1"}, "", false},
		"nothing known":                  {Person{}, "entryUUID=1", false},
		"never told":                     {Person{Missing: true}, "", false},
		"gone before anything was known": {Person{Missing: true}, "entryUUID=1", true},
		"the other one":                  {Person{Entry: "entryUUID=1", Other: "entryUUID=2"}, "entryUUID=2", true},
		"the other one, not told":        {Person{Entry: "entryUUID=1", Other: "entryUUID=2"}, "", true},
		"after the other one, herself":   {Person{Entry: "entryUUID=1", Other: "entryUUID=2"}, "entryUUID=1", false},
		"the other one, told otherwise":  {Person{Entry: "entryUUID=1", Other: "entryUUID=2"}, "ipaUniqueID=2", true},
	} {
		if got := stranger(c.was, c.identity); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
