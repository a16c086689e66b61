package distribution

import (
	"context"
	"time"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/profile"
)

// A Holding is a token of a user that was delivered, or offered, to one of the user's devices.
type Holding struct {
	Serial     string
	UserID     string
	DeviceID   string    // that the delivery was bound to; "" for none
	DeviceType string    // of the profile that it was last delivered by; "" if that is not known
	Until      time.Time // last valid day of the server
	Lost       bool
}

// holdings are what users have on their devices, as far as the server knows: what was delivered to them. It does not know what an app has deleted,
// or which of two devices of one type took something that was bound to none of them.
type holdings map[string][]Holding // by user ID

// held reads what users have on their devices, where the run needs it: to see whether a device is full, and which one a token was bound to.
func (d *Distributor) held(ctx context.Context, r run, requests []Request, users []string) (holdings, error) {
	recalls := false
	for _, q := range requests {
		recalls = recalls || q.DeviceID == ""
	}
	if recalls = recalls && r.profile.Binding == profile.BindDeviceID; !recalls && r.device.MaxTokens == 0 {
		return nil, nil
	}
	if r.device.MaxTokens > 0 { // two deliveries shall not both take the last place
		if _, err := d.Store.LockUsers(ctx, users); err != nil {
			return nil, err
		}
	}
	all, err := d.Store.Holdings(ctx, users)
	if err != nil {
		return nil, err
	}
	of := make(holdings, len(users))
	for _, h := range all {
		of[h.UserID] = append(of[h.UserID], h)
	}
	return of, nil
}

// recall takes the device ID that the token was last bound to where the profile wants one and none was given (section 8), unless the user has
// another device now.
func (i *issue) recall(of holdings) error {
	known := i.token.DeviceID
	if i.DeviceID != "" || i.profile.Binding != profile.BindDeviceID {
		return nil
	}
	if known == "" {
		return fault.New(fault.DeviceIDRequired, "profile %s binds tokens to one device: give its ID, as the user's app shows it", i.profile.Name)
	}
	if !i.sameDevice && (i.reason == NewDevice || i.reason == LostDevice) {
		return fault.New(fault.DeviceIDRequired, "token %s goes to another device than before: give the ID of that, as the user's app shows it", i.Serial)
	}
	was := ""
	for _, h := range of[i.user.ID] {
		if h.Serial == i.Serial {
			was = h.DeviceType
		}
	}
	if was != "" && was != i.device.Name || !i.device.TakesDeviceID(known) {
		return fault.New(fault.ProfileMismatch, "token %s is bound to a device of another type than %s, which profile %s is for: take a profile for the user's device, or give the ID of the new one",
			i.Serial, i.device.Name, i.profile.Name)
	}
	i.DeviceID = known
	return nil
}

// room refuses to deliver to a device that is full (section 4.1), and counts what it lets pass. Tokens that are bound to other devices, have expired
// or are lost take no room.
func (i *issue) room(of holdings) error {
	most := i.device.MaxTokens
	if most == 0 {
		return nil
	}
	n, mine, before := 0, of[i.user.ID], -1
	for at, h := range mine {
		switch elsewhere := h.DeviceID != "" && i.DeviceID != "" && !device.SameID(h.DeviceID, i.DeviceID); {
		case h.Serial == i.Serial:
			before = at
		case h.DeviceType == i.device.Name && !elsewhere && !h.Lost && i.now.Before(h.Until.AddDate(0, 0, 1)):
			n++
		}
	}
	if n >= most {
		return fault.New(fault.TokenLimit, "%s was given %d tokens for a device of type %s, which takes %d: unassign one, or give the ID of another device", i.user.ID, n, i.device.Name, most).
			With("device_type", i.device.Name).With("max_tokens", most)
	}
	now := Holding{Serial: i.Serial, UserID: i.user.ID, DeviceID: i.DeviceID, DeviceType: i.device.Name, Until: i.token.EffectiveExpiry, Lost: i.token.Lost()}
	if before < 0 {
		of[i.user.ID] = append(mine, now)
	} else {
		mine[before] = now
	}
	return nil
}
