// Package authentication decides whether a passcode is right, now, once.
package authentication
