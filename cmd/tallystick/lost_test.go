package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/client"
)

// A command that is shown means the profile to a shell, whatever its name is.
func TestNewSeedInAShell(t *testing.T) {
	for _, profile := range []string{"laptop", "two words", "it's", `"both"`, "$HOME `echo no` $(echo no)", `back\slash \$`, "Büro"} {
		said := newSeed(client.Token{Serial: "000000000001", Profile: profile})
		read, err := exec.Command("sh", "-c", `printf '%s\n' `+said).Output()
		if want := strings.ReplaceAll("token redistribute 000000000001 --reason LOST_DEVICE --profile ", " ", "\n") + profile + "\n"; err != nil || string(read) != want {
			t.Errorf("%s: a shell reads %q, %v", said, read, err)
		}
	}
}
