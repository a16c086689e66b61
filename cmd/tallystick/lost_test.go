package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// A command that is shown means the profile to a shell, whatever its name is.
func TestNewSeedInAShell(t *testing.T) {
	for _, profile := range []string{"laptop", "two words", "it's", `"both"`, "$HOME `echo no` $(echo no)", `back\slash \$`, "Büro", "once!more"} {
		said := newSeed(client.Token{Serial: "000000000001", Profile: profile})
		want := strings.ReplaceAll("token redistribute 000000000001 --reason LOST_DEVICE --profile ", " ", "\n") + profile + "\n"
		for _, shell := range [][]string{{"sh"}, {"bash", "-o", "history", "-o", "histexpand"}} { // as at a terminal
			reader := exec.Command(shell[0], shell[1:]...)
			reader.Stdin = strings.NewReader("more=`echo earlier`\nprintf '%s\\n' " + said + "\n")
			if read, err := reader.Output(); err != nil || string(read) != want {
				t.Errorf("%s: %s reads %q, %v", said, shell[0], read, err)
			}
		}
	}
}
