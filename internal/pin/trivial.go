package pin

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// trivial finds PINs that people choose first: one or two characters only (1111, 1221), a group repeated (123123),
// sequences (1357, 7890, 123321, abcd) and patterns on a keypad or keyboard (2580, qwer).
func trivial(pin string) bool {
	pin = strings.ToLower(pin)
	return few(pin) || repeated(pin) || oneStep(pin) || runs(pin) || pattern(pin)
}

// few finds a PIN of one or two different characters.
func few(pin string) bool {
	all := []byte(pin)
	slices.Sort(all)
	return len(slices.Compact(all)) <= 2
}

// repeated finds a PIN that is a shorter group again and again.
func repeated(pin string) bool {
	for n := 1; n <= len(pin)/2; n++ {
		if strings.Repeat(pin[:n], len(pin)/n) == pin {
			return true
		}
	}
	return false
}

// oneStep finds a PIN that goes on by the same step all the way.
func oneStep(pin string) bool {
	for i := 2; i < len(pin); i++ {
		if pin[i]-pin[i-1] != pin[1]-pin[0] {
			return false
		}
	}
	return true
}

// runs finds a PIN in which each character is in a run of three or more that stand still, count up or count down,
// such as 123321 or abc789.
func runs(pin string) bool {
	for len(pin) > 0 {
		n := max(run(pin, 0), run(pin, 1), run(pin, -1))
		if n < 3 {
			return false
		}
		pin = pin[n:]
	}
	return true
}

// run is how many characters at the start of a PIN go on by a step; 0 follows 9.
func run(pin string, step int) int {
	n := 1
	for ; n < len(pin); n++ {
		next := int(pin[n-1]) + step
		switch next {
		case '9' + 1:
			next = '0'
		case '0' - 1:
			next = '9'
		}
		if int(pin[n]) != next {
			break
		}
	}
	return n
}

// patterns are ways over the keys of a telephone, and of a keyboard. A ring is written twice, since it has no start.
var patterns = []string{
	"1236987412369874", "13971397", "26842684", // round the edge, the corners, the middle keys
	"147258369", "147852369", "123654789", // column by column, to and fro
	"2580", "1590", "3570", "159357", "159753", "1470", "3690", // lines and the cross
	"qwertzuiop", "qwertyuiop", "azertyuiop", "asdfghjkl", "qsdfghjklm", "zxcvbnm", "yxcvbnm",
	"1qaz2wsx3edc4rfv5tgb6yhn", "qazwsxedcrfvtgbyhn",
}

// pattern finds a PIN that is part of a pattern, forwards or backwards.
func pattern(pin string) bool {
	back := []byte(pin)
	slices.Reverse(back)
	return slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, pin) || strings.Contains(p, string(back)) })
}

// birthYear tells whether four digits are a year that somebody now living may be born in.
func birthYear(pin string, now time.Time) bool {
	year, err := strconv.Atoi(pin)
	return err == nil && len(pin) == 4 && year >= 1900 && year <= now.Year()
}
