package authentication

import "strings"

// mail is the user of a request as a mail address in lower case, "" if it cannot be one or is not to be taken for one. Letters beyond ASCII
// differ by case, as both databases have it.
func (q Request) mail() string {
	if !q.ByMail || !strings.Contains(q.UserID, "@") {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		return c
	}, q.UserID)
}

// addressed notes the mail address of a user who was found.
func (r *round) addressed(s Subject) {
	if s.Mail == "" {
		return
	}
	if r.mails == nil {
		r.mails = map[string]string{}
	}
	if _, twice := r.mails[s.Mail]; twice {
		r.mails[s.Mail] = ""
	} else {
		r.mails[s.Mail] = s.UserID
	}
}

// identify finds out whom a job that came with a mail address is about: the user of that ID, else the only one with that address
// (spec/rest-authn-api.md section 3.2). All that counts and locks goes by her ID.
func (r *round) identify(j *job) {
	if j.mail == "" || r.subjects[j.name] != nil {
		return
	}
	if id := r.mails[j.mail]; id != "" {
		j.user = id
	}
}
