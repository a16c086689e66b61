package api

import (
	"context"
	"iter"
	"strings"

	"github.com/tallystick/tallystick/client"
	"github.com/tallystick/tallystick/internal/distribution"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/job"
	"github.com/tallystick/tallystick/internal/token"
)

// deviceList makes the entries of a list of devices those of a selection, and returns the device IDs by them.
func deviceList(s *token.Selection, list []client.DeviceOf) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(s.Serials)+len(s.UserIDs) > 0 {
		return nil, fault.New(fault.Invalid, "devices are a list of tokens themselves: leave serials and users out of the selection")
	}
	ids := make(map[string]string, len(list))
	for n, d := range list {
		serial, user := strings.TrimSpace(d.Serial), d.UserID
		if (serial == "") == (user == "") {
			return nil, fault.New(fault.Invalid, "device %d of the list is of no token: name its serial or its user, and not both", n+1)
		}
		entry, id := serial+user, strings.TrimSpace(d.DeviceID)
		if was, twice := ids[entry]; twice && was != id {
			return nil, fault.New(fault.Invalid, "%s is in the list twice, with different devices", entry)
		}
		ids[entry] = id
		if user == "" {
			s.Serials = append(s.Serials, serial)
		} else {
			s.UserIDs = append(s.UserIDs, user)
		}
	}
	return ids, nil
}

// bound are the items of a job that delivers tokens, with the IDs of the devices that they are bound to and what is seen of them now.
func (a *API) bound(ctx context.Context, s token.Selection, devices map[string]string) iter.Seq2[job.NewItem, error] {
	return a.items(ctx, s, func(c token.Chosen) (job.NewItem, error) { return distribution.Item(c, devices[c.Entry]) })
}
