package distribution

import "testing"

// A user ID may be any text; the name of her file is harmless.
func TestFileName(t *testing.T) {
	for id, want := range map[string]string{
		"alice": "alice_1.sdtid", "a.b-c@example.com": "a.b-c@example.com_1.sdtid", "../../etc/x": "_.._etc_x_1.sdtid", "-rf": "rf_1.sdtid", ".-.--e sh": "e_sh_1.sdtid", "--": "_1.sdtid", "a:b[c{d": "a_b_c_d_1.sdtid",
	} {
		if got := fileName(id, "1"); got != want {
			t.Errorf("%q: %s, want %s", id, got, want)
		}
	}
}
