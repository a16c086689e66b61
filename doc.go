// Package tallystick is the module's front door; it holds no code. The map:
//
// On top, pure packages that other programs can use, one per format or algorithm:
//
//	securid   the tokencode: seed, time and PIN in, digits out
//	sdtid     token files: read, check, open with a password, write
//	ctf       compressed token strings: the digits, the base64 form, the URLs that carry them
//	ctkip     dynamic seed provisioning: messages, key derivation, both sides; no network
//	client    Go client of the management API, and the JSON types of that API
//
// Under internal, the nouns and verbs of running tokens, then the ways in:
//
//	fault, recent, throttle, typeface, spreadsheet, audit, domain, seed, clock, user, device, policy, cli
//	                                                       the words every layer shares
//	peertest                                               the programs of others that tests run
//	profile, token, pin, emergency, access, job, webhook   the nouns with rules
//	distribution, directory, authentication, records, backup, care, tokenapp
//	                                                       the verbs
//	mail                                                   what users are written
//	transfer                                               tokens that move to another deployment
//	report                                                 what there is and what happened, as figures and tables
//	store, api, agentapi, radius, provision, release              the database and the transports, strangers to one another
//	server                                                 opens the store, wires the transports, runs, stops
//	bench                                                  measures a server from outside, against the bare database
//	configuration                                          reads and writes the files of tallystick apply
//
// Under cmd, the two programs: tallystick, the server and its command line, and tally, the token app.
// An import goes from a later line to an earlier one only; house_test.go holds that as a test.
package tallystick
