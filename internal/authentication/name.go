package authentication

import (
	"slices"
	"strings"

	"github.com/tallystick/tallystick/internal/user"
)

// mail is the user of a request as a mail address in lower case, "" if it cannot be one or is not to be taken for one. Letters beyond ASCII
// differ by case, as both databases have it.
func (q Request) mail() string {
	if !q.ByMail || !strings.Contains(q.UserID, "@") {
		return ""
	}
	return user.Lower(q.UserID)
}

// nobody is whom a name is about that several users have. No user has that ID, also not while an attempt waits for its answer: IDs are printable.
const nobody = "\x01"

// admit adds an address whose users are wanted whom an agent may ask about. nil may ask about all, who are wanted anyway.
func (w *Wanted) admit(only *Restriction, mail string) {
	if only == nil {
		return
	}
	i := slices.IndexFunc(w.Admitted, func(a Admitted) bool { return a.Only == only })
	if i < 0 {
		i, w.Admitted = len(w.Admitted), append(w.Admitted, Admitted{Only: only})
	}
	w.Admitted[i].Mails = append(w.Admitted[i].Mails, mail)
}

// addressed notes the mail address of a user who was found.
func (r *round) addressed(s Subject) {
	if s.Mail == "" {
		return
	}
	if r.mails == nil {
		r.mails = map[string][]string{}
	}
	r.mails[s.Mail] = append(r.mails[s.Mail], s.UserID)
}

// identify finds out whom a job that came with a mail address is about: the only user whom the agent may ask about and who has it for her ID or
// for her address (spec/rest-authn-api.md section 3.2). An ID does not go before an address: who may add users in one security domain
// would sign in as those of another one, under their addresses. If the agent may ask about none of them, she is found all the same, to be denied
// for that. All that counts and locks goes by her ID.
func (r *round) identify(j *job) {
	if j.mail == "" {
		return
	}
	all := r.meant(j)
	may := slices.DeleteFunc(slices.Clone(all), func(s *subject) bool { return r.subject(j, s.UserID) == nil || !j.only.admits(s) })
	if len(may) == 0 {
		may = all
	}
	switch len(may) {
	case 0: // it stays the name, which nobody has
	case 1:
		j.user = may[0].UserID
	default:
		j.user = nobody
	}
}

// meant are the users whom a job may be about: the one of its ID, and where it came with a mail address those who have it, as far as they were
// wanted.
func (r *round) meant(j *job) (all []*subject) {
	if j.mail == "" {
		if s := r.subjects[j.user]; s != nil {
			all = append(all, s)
		}
		return all
	}
	if s := r.subjects[j.name]; s != nil {
		all = append(all, s)
	}
	for _, id := range r.mails[j.mail] {
		if id != j.name { // she has her address for an ID
			all = append(all, r.subjects[id])
		}
	}
	return all
}

// deniedAs are the users, also those outside of the caller's domain, whom a job may be found to be about when it comes again after it was denied.
func (r *round) deniedAs(j *job) []*subject {
	if s := r.subjects[j.user]; s != nil {
		return []*subject{s}
	}
	return r.meant(j)
}
