package credcache

import (
	"encoding/json"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
)

var errLongLived = errors.New("these credentials do not expire by themselves, and such are never kept")

// Credentials returns the credentials kept for k, if they will live for two
// more minutes at least.
func (s *Store) Credentials(k Key) (aws.Credentials, bool) {
	path := s.path(kindCredentials.file(k))
	e, err := s.read(kindCredentials, k)
	if err == nil && s.fresh.Load() && !s.isNew(e) {
		err = errOlder
	}
	var body credentialsBody
	if err == nil && (json.Unmarshal(e.body(), &body) != nil || body.SecretAccessKey == "" || body.SessionToken == "") {
		err = errNotEntry
	}
	if err != nil {
		s.missed("credentials", path, err)
		return aws.Credentials{}, false
	}
	return aws.Credentials{
		AccessKeyID:     e.AccessKeyID,
		SecretAccessKey: body.SecretAccessKey,
		SessionToken:    body.SessionToken,
		Source:          e.Source,
		AccountID:       e.AccountID,
		CanExpire:       true,
		Expires:         e.Expires,
	}, true
}

// PutCredentials keeps c for k, in place of what is kept. Credentials without
// an end or without a session token are long-lived secrets: they are not kept.
func (s *Store) PutCredentials(k Key, c aws.Credentials, inputs []Input, a About) {
	err := s.open(true)
	if err == nil && (!c.CanExpire || c.Expires.IsZero() || c.SessionToken == "") {
		err = errLongLived
	}
	if err == nil {
		err = s.write(kindCredentials, k, header{
			Expires: c.Expires, AccessKeyID: c.AccessKeyID, AccountID: c.AccountID, Source: c.Source, Inputs: inputs, About: a,
		}, credentialsBody{SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken})
		s.sweep(kindCredentials.file(k))
	}
	if err != nil {
		s.failed("credentials not kept", s.path(kindCredentials.file(k)), err)
	}
}

// credentialsBody is the secret part of an entry of credentials.
type credentialsBody struct {
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
}
