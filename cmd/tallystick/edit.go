package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
)

// verb is what a command did, or would do if it were no dry run.
func (r run) verb(did, does string) string {
	if r.dry {
		return "would " + does
	}
	return did
}

// versionFlag gives cmd the flag for the version that what it changes is meant to be at: "the token is", or "the settings are".
func versionFlag(cmd *cobra.Command, what string) *int {
	return cmd.Flags().Int("version", 0, "refuse if "+what+" not at this `version` any more")
}

// edits changes an object that is named in words, and says what of it is another now, or would be. get gives the object as it is, and
// do changes it.
func edits[T any](p *program, r run, what string, get, do func() (T, error)) error {
	before, err := get()
	if err != nil {
		return err
	}
	after, err := do()
	if err != nil {
		return err
	}
	if p.JSON {
		return p.PrintJSON(after)
	}
	changed, touched, err := changesOf(before, after)
	if err != nil {
		return err
	}
	if !touched {
		return p.result(nil, "%s is so already", what)
	}
	if len(changed) == 0 { // a secret, or what was so before
		what += "; what is shown of it is as before"
	}
	fmt.Fprintf(p.Out, "%s %s\n", r.verb("changed", "change"), what)
	changes(p.Out, changed)
	return nil
}

// changesOf are the members in which two documents of an object differ, and whether its version does: what is secret shows in nothing else.
func changesOf(before, after any) (changes []client.ConfigurationChange, touched bool, err error) {
	was, err := membersOf(before)
	if err != nil {
		return nil, false, err
	}
	is, err := membersOf(after)
	if err != nil {
		return nil, false, err
	}
	both := maps.Clone(was)
	maps.Copy(both, is)
	for _, member := range slices.Sorted(maps.Keys(both)) {
		switch {
		case was[member] == is[member]:
		case member == "version":
			touched = true
		default:
			changes, touched = append(changes, client.ConfigurationChange{Member: member, From: was[member], To: is[member]}), true
		}
	}
	return changes, touched, nil
}

// membersOf are those of a document: texts as they are, anything else in JSON.
func membersOf(document any) (map[string]string, error) {
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	all := make(map[string]string, len(raw))
	for member, value := range raw {
		all[member] = string(value)
		var plain string
		if json.Unmarshal(value, &plain) == nil {
			all[member] = plain
		}
	}
	return all, nil
}

// changes prints what became of members.
func changes(out io.Writer, all []client.ConfigurationChange) {
	for _, c := range all {
		name, from, to := readable(c)
		fmt.Fprintf(out, "    %-29s %s -> %s\n", name, orDash(from), orDash(to))
	}
}
