package spreadsheet

import "testing"

func TestGuarded(t *testing.T) {
	for text, want := range map[string]string{
		"=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t'=1", "\r=1": "'\r'=1", "\n1": "'\n1", " =1": " '=1",
		"＝1+1": "'＝1+1", "＋1": "'＋1", "－1": "'－1", "＠SUM(A1)": "'＠SUM(A1)",
		"Smith;=1+1": "Smith;'=1+1", "Smith; =1+1": "Smith; '=1+1", "a;;-1;+1": "a;;'-1;'+1", "a\t@b": "a\t'@b", "a,=1": "a,'=1", "a\n=1": "a\n'=1", "a\r\n=1": "a\r\n'=1",
		`a;"=1`: `a;"'=1`, `a"=1`: `a"'=1`, `"=1`: `"'=1`, "Smith;＝1": "Smith;'＝1", "a\xff;=1": "a\xff;'=1",
	} {
		if got := Guarded(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
	for _, name := range []string{
		"", "Smith", "O'Neil-Smith", "Anna-Lena Müller", "Müller; Schmidt", "Doe, John", "a=1", "a + b", "ann+vpn@example.com", "lost, - as she says", `"quoted", and so on`,
		`"Bob" - the builder`, "000123456789", "2026-11-24", "10.1.2.3/24", "Смирнов-Иванов", "王-小明", "ctf://x?y=z&w=-1",
	} {
		if got := Guarded(name); got != name {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}
