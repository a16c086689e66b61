package securid

const (
	minPIN = 4
	maxPIN = 8
)

// AddPIN is the passcode that a PINPad token shows: the PIN added to the code
// digit by digit, right-aligned and without carry (section 7.1). Of a PIN that
// is longer than the code only the last digits count. The errors are [ErrCode]
// and [ErrPIN].
func AddPIN(code, pin string) (string, error) {
	if len(code) > maxDigits || !decimal(code) {
		return "", ErrCode
	}
	if len(pin) < minPIN || len(pin) > maxPIN || !decimal(pin) {
		return "", ErrPIN
	}
	sum := []byte(code)
	for i, j := len(sum)-1, len(pin)-1; i >= 0 && j >= 0; i, j = i-1, j-1 {
		sum[i] = '0' + (sum[i]-'0'+pin[j]-'0')%10
	}
	return string(sum), nil
}

// SubtractPIN is the inverse of [AddPIN]: what was added to the code to give
// the passcode, with as many digits. The PIN is at its end, and before it are
// zeros if the passcode is right (section 7.2). The error is [ErrCode], also
// when the two differ in length.
func SubtractPIN(passcode, code string) (string, error) {
	if len(passcode) != len(code) || len(code) > maxDigits || !decimal(code) || !decimal(passcode) {
		return "", ErrCode
	}
	pin := []byte(passcode)
	for i := range pin {
		pin[i] = '0' + (passcode[i]+10-code[i])%10
	}
	return string(pin), nil
}

// decimal says whether s consists of one or more ASCII digits.
func decimal(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
