package distribution

import (
	"context"
	"slices"

	"github.com/tallystick/tallystick/internal/device"
	"github.com/tallystick/tallystick/internal/fault"
	"github.com/tallystick/tallystick/internal/user"
)

// A Post takes deliveries to users: a mail.Outbox.
type Post interface {
	// Ready refuses while nothing can be sent, or secretBy is no way that a password or activation code can go.
	Ready(ctx context.Context, secretBy string) error
	// Reaches refuses a user who cannot be written to.
	Reaches(u user.User) error
	// Deliver takes deliveries, in the transaction of ctx, and returns the IDs of their messages.
	Deliver(ctx context.Context, all []Posted, secretBy string) ([]string, error)
	// CannotSignIn returns those of the users of deliveries for whom something is held until they have signed in, which they have no way to do.
	CannotSignIn(ctx context.Context, all []Posted, secretBy string) ([]string, error)
}

// CannotSignIn is what the administrator should know of such a user.
const CannotSignIn = "the user cannot sign in for what is held for her: no directory has brought her, and no token of hers works yet; deliver it again with --secret-by hand or mail"

// A Posted delivery goes to its user by mail.
type Posted struct {
	Delivery
	User user.User
}

// checkPost refuses at once what could be mailed for no token of a job.
func (d *Distributor) checkPost(ctx context.Context, b Bulk) error {
	if b.SecretBy != "" && !b.Mail {
		return fault.New(fault.Invalid, "how a password or activation code goes is said for deliveries by mail")
	}
	if !b.Mail {
		return nil
	}
	if err := d.Post.Ready(ctx, b.SecretBy); err != nil {
		return err
	}
	house, err := d.Store.Settings(ctx)
	if err != nil {
		return err
	}
	if b.Method != device.CTKIP && b.Password == "" && !b.Individual && !house.AllowUnprotectedCTF {
		return fault.New(fault.PasswordRequired, "files and strings without password would show their seeds to whoever reads the mail: give one, ask for individual ones, or let them go without by the setting allow_unprotected_ctf")
	}
	return nil
}

// send has the deliveries that were made go by mail, and keeps of them what does not.
func (d *Distributor) send(ctx context.Context, b Bulk, made []Made) error {
	var all []Posted
	for i := range made {
		m := &made[i]
		if m.Err != nil {
			continue
		}
		all = append(all, Posted{m.Delivery, m.user})
		m.File, m.FileName, m.CTF, m.CTFURL, m.Link, m.QR = nil, "", "", "", "", ""
		if b.mailsSecrets() {
			m.ActivationCode, m.Password = "", ""
		}
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := d.Post.Deliver(ctx, all, b.SecretBy); err != nil {
		return err
	}
	unable, err := d.Post.CannotSignIn(ctx, all, b.SecretBy)
	for i := range made {
		if m := &made[i]; m.Err == nil && m.Warning == "" && slices.Contains(unable, m.UserID) {
			m.Warning, m.Warnings = fault.CannotSignIn, append([]string{CannotSignIn}, m.Warnings...)
		}
	}
	return err
}

// mailsSecrets tells whether passwords and activation codes go by messages of their own, at once or once their users have signed in: the job keeps none.
func (b Bulk) mailsSecrets() bool { return b.SecretBy == "mail" || b.SecretBy == "sign_in" }
