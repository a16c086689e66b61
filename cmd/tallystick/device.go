package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/cli"
	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
)

func (p *program) deviceCommands() *cobra.Command {
	return group("device", "The device types that apps run on", p.deviceList(), p.deviceShow(), p.deviceImport(), p.deviceExport(), p.deviceDelete())
}

func (p *program) deviceList() *cobra.Command {
	return p.command("list", "List the device types that profiles can be for", 0, func(r run) error {
		devices, err := r.server.Devices(r.ctx)
		if err != nil {
			return err
		}
		return tabulate(p, map[string]any{"devices": devices}, []string{"DEVICE TYPE", "TITLE", "VERSION", "DELIVERY", "PIN TYPES"}, devices, func(d client.Device) []string {
			return []string{d.DeviceType, d.Title, number(d.Version), strings.Join(d.DeliveryMethods, " "), strings.Join(d.PINTypes, " ")}
		})
	})
}

func (p *program) deviceShow() *cobra.Command {
	return p.command("show TYPE", "Show what a device type can take", 1, func(r run) error {
		d, err := r.server.Device(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		if p.JSON {
			return p.PrintJSON(d)
		}
		source := "built in"
		if !d.BuiltIn {
			source = "imported " + date(d.ImportedAt)
		}
		p.fields("device type", d.DeviceType, "title", d.Title, "version", number(d.Version), "source", source,
			"digits", numbers(d.Digits), "intervals", numbers(d.IntervalSeconds), "pin types", strings.Join(d.PINTypes, " "), "key bits", number(d.KeyBits),
			"delivery", strings.Join(d.DeliveryMethods, " "), "qr codes", yesNo(d.QR), "class guid", d.ClassGUID, "device id", d.DeviceIDPattern,
			"string version", number(d.CTFVersion), "string urls", strings.Join(d.CTFLinks, " "), "dynamic links", strings.Join(d.CTKIPLinks, " "),
			"longest nickname", number(d.MaxNickname), "longest password", number(d.MaxPassword), "most tokens", unlessZero(d.MaxTokens))
		return nil
	})
}

func numbers(all []int) string {
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = strconv.Itoa(n)
	}
	return strings.Join(words, " ")
}

// unlessZero is a number for people, nothing for 0.
func unlessZero(n int) string {
	if n == 0 {
		return ""
	}
	return number(n)
}

func (p *program) deviceImport() *cobra.Command {
	cmd := p.command("import FILE", "Import device definitions from an XML, JSON or YAML file; - is standard input", 1, nil)
	dryRun := cmd.Flags().Bool("dry-run", false, "change nothing, and show what would become of each profile")
	p.does(cmd, func(r run) error {
		file, err := p.readText(r.args[0], device.MaxFile)
		if err != nil {
			return err
		}
		done, err := r.server.ImportDevices(r.ctx, client.DeviceFile{File: file, DryRun: *dryRun})
		if err != nil {
			return err
		}
		broken := 0
		for _, d := range done.Devices {
			for _, c := range d.Profiles {
				if !c.OK {
					broken++
				}
			}
		}
		if p.JSON {
			err = p.PrintJSON(done)
		} else {
			p.printImport(done)
		}
		if err == nil && broken > 0 { // a dry run of what would be refused
			return cli.Status(cli.Refused)
		}
		return err
	})
	return cmd
}

// printImport says for people what an import changed, or would change.
func (p *program) printImport(done client.DeviceImport) {
	for _, w := range done.Warnings {
		p.Note("warning: " + w)
	}
	verb := "imported"
	if done.DryRun {
		verb = "would import"
	}
	for _, d := range done.Devices {
		text := fmt.Sprintf("%s device type %s, version %d", verb, d.DeviceType, d.Version)
		if d.Replaces > 0 {
			text += fmt.Sprintf(" in place of %d", d.Replaces)
		}
		fmt.Fprintln(p.Out, text)
		for _, c := range d.Profiles {
			fate := "stays valid"
			if !c.OK {
				fate = fmt.Sprintf("would not be valid: %s (%s)", c.Message, c.Code)
			}
			fmt.Fprintf(p.Out, "  profile %s %s\n", c.Profile, fate)
		}
	}
}

// exported is a definition as a definition file has it.
type exported struct {
	client.Device
	BuiltIn    *bool `json:"built_in,omitempty"`
	ImportedAt *bool `json:"imported_at,omitempty"`
}

func (p *program) deviceExport() *cobra.Command {
	cmd := p.command("export TYPE", "Write a device definition as a file that can be edited and imported", 1, nil)
	out := cmd.Flags().String("out", "-", "`file` to write; - is standard output")
	p.does(cmd, func(r run) error {
		d, err := r.server.Device(r.ctx, r.args[0])
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(exported{Device: d}, "", "  ")
		if err != nil {
			return err
		}
		text = append(text, '\n')
		if *out == "-" {
			_, err = p.Out.Write(text)
			return err
		}
		if err := p.writeText(*out, text); err != nil {
			return err
		}
		return p.wrote(*out, map[string]string{"device_type": d.DeviceType, "file": *out}, "wrote device type %s, version %d, to %s", d.DeviceType, d.Version, *out)
	})
	return cmd
}

func (p *program) deviceDelete() *cobra.Command {
	return p.deletion("delete TYPE", "Delete an imported device definition; a built-in one of its name is back then", func(r run) error {
		return r.server.DeleteDevice(r.ctx, r.args[0])
	})
}

// askDevice asks for the device ID of a delivery whose profile says so, if there is somebody to ask.
func (p *program) askDevice(r run, d *client.Distribution) error {
	if d.DeviceID != "" || !p.Interactive() || p.JSON {
		return nil
	}
	profile, err := r.server.Profile(r.ctx, d.Profile)
	if err == nil && profile.Binding == "ask" {
		d.DeviceID, err = p.AskText("Device ID, as the app of the user shows it (nothing: any device of the type): ")
		return err
	}
	return nil // what is wrong with the profile, the delivery will tell
}

// readText reads a file of at most so many bytes; - is standard input.
func (p *program) readText(name string, limit int) ([]byte, error) {
	text, err := p.Beginning(name, int64(limit)+1)
	if err == nil && len(text) > limit {
		err = fault.New(fault.TooLarge, "the file is larger than %d KiB", limit>>10)
	}
	return text, err
}
