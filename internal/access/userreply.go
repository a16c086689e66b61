package access

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tallystick/tallystick/internal/audit"
	"github.com/tallystick/tallystick/internal/fault"
)

// UserReplyStore is what the registry of users' attributes needs of the database.
type UserReplyStore interface {
	// Transact runs do in one transaction, which travels in its context; it may run do again after a conflict.
	Transact(ctx context.Context, do func(context.Context) error) error
	// UserReply returns the attributes of a user; [fault.UserNotFound]. Within a transaction the row is locked for change.
	UserReply(ctx context.Context, userID string) ([]ReplyAttribute, error)
	// SaveUserReply stores those of a user who is there.
	SaveUserReply(ctx context.Context, userID string, attributes []ReplyAttribute) error
	// Record keeps an event, in the transaction of ctx.
	Record(ctx context.Context, e audit.Event) error
}

// UserReplies keeps the attributes that RADIUS clients get with an accept of a certain user, in place of their own
// (spec/radius.md section 1).
type UserReplies struct {
	Store UserReplyStore
	Now   func() time.Time
}

// Get returns the attributes of a user; [fault.UserNotFound].
func (r *UserReplies) Get(ctx context.Context, userID string) ([]ReplyAttribute, error) {
	return r.Store.UserReply(ctx, userID)
}

// Set replaces the attributes of a user; none takes them away. [fault.UserNotFound].
func (r *UserReplies) Set(ctx context.Context, userID string, attributes []ReplyAttribute) error {
	for _, a := range attributes {
		if a.Profile != "" {
			return fault.New(fault.Invalid, "the attributes of a user are for all tokens that she has: leave the profile out")
		}
	}
	if err := checkAttributes(attributes, maxUserReplyBytes); err != nil {
		return err
	}
	return r.Store.Transact(ctx, func(ctx context.Context) error {
		before, err := r.Store.UserReply(ctx, userID)
		if err != nil {
			return err
		}
		if err := r.Store.SaveUserReply(ctx, userID, attributes); err != nil {
			return err
		}
		return r.Store.Record(ctx, audit.New(ctx, r.Now(), "user.reply_attributes", "user:"+userID, audit.Details{"before": before, "after": attributes}))
	})
}

// WriteReply is the text that the attributes of a user are stored as; "" for none.
func WriteReply(attributes []ReplyAttribute) (string, error) {
	if len(attributes) == 0 {
		return "", nil
	}
	text, err := json.Marshal(attributes)
	return string(text), err
}

// ReadReply reads what WriteReply wrote.
func ReadReply(text string) (attributes []ReplyAttribute, err error) {
	if text != "" {
		err = json.Unmarshal([]byte(text), &attributes)
	}
	return attributes, err
}
