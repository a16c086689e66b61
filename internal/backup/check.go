package backup

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/seed"
)

// Check reads a backup to its end and holds it against a master key, which is the one that is inside if master is nil.
// Without one from elsewhere, who made the backup stays open, and known is false: whoever makes a backup has the key that is inside. The refusals are those of [Reader],
// [fault.MasterKey] if the master key is another one and [fault.BackupForeign] if the backup was not made with it.
func Check(r *Reader, master seed.Master) (known bool, err error) {
	var keys keyRows
	for {
		t, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = keys.take(r, t)
		}
		if err != nil {
			return false, err
		}
	}
	known = master != nil
	if file := r.header.Files[MasterKeyFile]; !known && file != nil {
		if master, err = seed.MasterFromText(file); err != nil {
			return false, err
		}
	}
	if master == nil {
		return false, nil
	}
	ring, err := seed.OpenCopy(master, keys.data, keys.secrets)
	if err != nil {
		return false, err
	}
	if r.header.Master != master.ID() || !r.MadeBy(ring) {
		return false, fault.New(fault.BackupForeign, "the backup was not made by this deployment: somebody else sealed it to the same key")
	}
	return known, nil
}

// keyRows are what a keyring is made of.
type keyRows struct {
	data    []seed.DataKey
	secrets map[string]seed.Sealed
}

// take gathers the rows of a table that the keyring needs, and reads past those of others.
func (k *keyRows) take(r *Reader, t Table) error {
	for {
		values, err := r.Row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		cell := map[string]any{}
		switch t.Name {
		case "data_key", "secret":
			for i, c := range t.Columns {
				cell[c.Name] = values[i]
			}
		default:
			continue
		}
		if err := k.add(t.Name, cell); err != nil {
			return fault.New(fault.BackupFormat, "the backup cannot be used: %v", err)
		}
	}
}

func (k *keyRows) add(table string, cell map[string]any) error {
	missing := fmt.Errorf("table %s is not as it should be", table)
	if table == "secret" {
		name, named := cell["name"].(string)
		id, numbered := cell["key_id"].(int64)
		blob, sealed := cell["sealed"].([]byte)
		if !named || !numbered || !sealed {
			return missing
		}
		if k.secrets == nil {
			k.secrets = map[string]seed.Sealed{}
		}
		k.secrets[name] = seed.Sealed{KeyID: id, Blob: blob}
		return nil
	}
	id, numbered := cell["id"].(int64)
	master, named := cell["master_id"].(string)
	wrapped, sealed := cell["wrapped"].([]byte)
	at, dated := cell["created_at"].(int64)
	if !numbered || !named || !sealed || !dated {
		return missing
	}
	k.data = append(k.data, seed.DataKey{ID: id, MasterID: master, Wrapped: wrapped, CreatedAt: time.UnixMicro(at).UTC()})
	return nil
}
