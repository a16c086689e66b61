package mail

import "github.com/tallystick/tallystick/internal/device"

// importing says what to do in the app of a device type with what was delivered.
func importing(deviceType string, method device.Method) string {
	switch {
	case method == device.File && deviceType == "linux":
		return "Save the attached file and run: tally import FILE"
	case method == device.File:
		return "Open the attached file with your token app."
	case method == device.CTF && deviceType == "linux":
		return "Put the link into quotes and run: tally import 'LINK'"
	case method == device.CTF:
		return "Open the link on the device that has your token app, or copy it there."
	case deviceType == "linux":
		return "Run: tally import LINK --activation-code-file - and type the activation code."
	}
	return "In your token app choose to add a token, and enter the link and the activation code."
}

// replacing says what to do first where the app has the token already (spec/software-token-lifecycle.md section 8): most apps
// refuse a serial number that they know, and some cannot delete a single token. Ours asks, and replaces in place.
func replacing(deviceType, serial string) string {
	switch deviceType {
	case "linux":
		return "Your app holds token " + serial + " already: add --replace, and it takes the place of the old one."
	case "android", "ios":
		return "Your app may hold token " + serial + " already. Delete that one in the app first: it refuses a token with the same serial number. If the app " +
			"cannot delete a token, remove the app, which removes all its tokens, install it again, and then import this one."
	case "windows", "macos":
		return "Your app may hold token " + serial + " already. Delete that one first, in the app's list of tokens: it refuses a token with the same serial " +
			"number. If it cannot delete a token, uninstall the app with its database, install it again, and then import this one."
	}
	return "If your app holds token " + serial + " already, and does not offer to replace it, delete that one first. If the app cannot delete a token, remove " +
		"the app, install it again, and then import this one."
}
