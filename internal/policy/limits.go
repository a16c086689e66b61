package policy

import (
	"slices"
	"time"

	"github.com/tallystick/tallystick/internal/fault"
)

// first is the first of the errors that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func refuse(setting, format string, args ...any) error {
	return fault.New(fault.PolicyInvalid, setting+" "+format, args...).With("setting", setting)
}

func between(setting string, value, least, most int) error {
	if value < least || value > most {
		return refuse(setting, "takes %d to %d, not %d", least, most, value)
	}
	return nil
}

func within(setting string, value, least, most time.Duration) error {
	if value < least || value > most || value%time.Second != 0 {
		return refuse(setting, "takes %s to %s in whole seconds, not %s", least, most, value)
	}
	return nil
}

func zeroOr(setting string, value, least, most time.Duration) error {
	if value != 0 && (value < least || value > most || value%time.Second != 0) {
		return refuse(setting, "takes 0, or %s to %s in whole seconds, not %s", least, most, value)
	}
	return nil
}

func oneOf[T ~string](setting string, value T, allowed ...T) error {
	if !slices.Contains(allowed, value) {
		return refuse(setting, "takes one of %v, not %q", allowed, value)
	}
	return nil
}
