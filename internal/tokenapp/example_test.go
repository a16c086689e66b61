package tokenapp_test

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tallystick/tallystick/internal/tokenapp"
)

// A token is opened, taken in, and shows its code.
func Example() {
	dir, err := os.MkdirTemp("", "tokenapp")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	source, err := tokenapp.ReadSource("testdata/password.sdtid", os.Stdin)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = source.Open(tokenapp.Access{})
	fmt.Println(err)
	tokens, err := source.Open(tokenapp.Access{Password: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}

	app := tokenapp.App{Dir: dir, Keys: tokenapp.Keys{File: filepath.Join(dir, "key")}, Now: func() time.Time { return at }}
	if _, err := app.Import(tokens, tokenapp.ImportOptions{Nickname: "laptop"}); err != nil {
		fmt.Println(err)
		return
	}
	token, err := app.Find("laptop")
	if err != nil {
		fmt.Println(err)
		return
	}
	code, err := token.Code(at, "1234")
	fmt.Println(token.Serial, code.Text, code.Left, err)
	fmt.Println(token.Seed)
	// Output:
	// testdata/password.sdtid: it is locked with a password
	// 343965504023 73021312 31 <nil>
	// seed(hidden)
}

var at = time.Unix(1777975289, 0)
