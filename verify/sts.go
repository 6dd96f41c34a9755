package verify

import (
	"context"
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"unicode/utf8"

	"github.com/ekskey/ekskey/identity"
	"github.com/ekskey/ekskey/token"
)

// maxReply is the most that is read of a response, in bytes.
const maxReply = 64 << 10

// denials are the error codes with which STS denies GetCallerIdentity.
//
// Source: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
// and observed responses of STS.
var denials = map[string]bool{
	"AccessDenied": true, "AccessDeniedException": true, "AuthFailure": true,
	"ExpiredToken": true, "ExpiredTokenException": true,
	"IncompleteSignature": true, "IncompleteSignatureException": true,
	"InvalidClientTokenId": true, "InvalidSignatureException": true,
	"MissingAuthenticationToken": true, "MissingAuthenticationTokenException": true,
	"NotAuthorized": true, "OptInRequired": true, "RegionDisabledException": true,
	"RequestExpired": true, "SignatureDoesNotMatch": true,
	"UnrecognizedClientException": true, "ValidationError": true,
}

// throttles are the error codes with which STS throttles, with HTTP status 400.
var throttles = map[string]bool{
	"Throttling": true, "ThrottlingException": true, "ThrottledException": true,
	"RequestLimitExceeded": true, "RequestThrottled": true, "TooManyRequestsException": true, "SlowDown": true,
}

// askOnce sends one request. It does not use http.Client, whose errors quote the URL
// and so the signature.
func (v *Verifier) askOnce(ctx context.Context, p *token.Parsed) (identity.Identity, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.RequestURL(), nil)
	if err != nil {
		return identity.Identity{}, &UnavailableError{Reason: "the rebuilt URL does not parse"}
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "ekskey")
	req.Header.Set(token.ClusterHeader, v.cluster)
	resp, err := v.roundTripper.RoundTrip(req)
	if err != nil {
		return identity.Identity{}, &UnavailableError{Reason: "calling " + p.Host, Err: cause(err)}
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReply+1))
	if err != nil {
		return identity.Identity{}, &UnavailableError{Reason: "reading the answer of " + p.Host, Err: cause(err)}
	}
	if resp.StatusCode != http.StatusOK {
		return identity.Identity{}, refusal(resp.StatusCode, mediaType(resp), body)
	}
	partition := v.policy.Partition
	if partition == "" {
		own, err := identity.PartitionOfRegion(p.Region)
		if err != nil {
			return identity.Identity{}, &token.RuleError{Code: "V31", Reason: err.Error()}
		}
		partition = own.ID
	}
	return accept(partition, mediaType(resp), body)
}

var errGarbled = errors.New("the server sent an invalid HTTP response")

// cause returns only errors of the network and of TLS: package net/http quotes what the
// server sent, and a server may echo the request including the signature.
func cause(err error) error {
	var op *net.OpError
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &op):
		return op
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &header):
		return errors.New("the server does not speak TLS")
	case errors.Is(err, context.DeadlineExceeded):
		return context.DeadlineExceeded
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return io.ErrUnexpectedEOF
	}
	return errGarbled
}

func mediaType(resp *http.Response) string {
	t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return t
}

// accept parses a response with status 200.
func accept(partition, contentType string, body []byte) (identity.Identity, error) {
	odd := func(reason string) (identity.Identity, error) {
		return identity.Identity{}, &UnavailableError{Status: http.StatusOK, Reason: "V30: the answer " + reason}
	}
	if contentType != "application/json" {
		return odd("is not application/json")
	}
	if len(body) > maxReply {
		return odd(fmt.Sprintf("is longer than %d bytes", maxReply))
	}
	doc, err := strictJSON(body)
	if err != nil {
		return odd(err.Error())
	}
	result := doc.object("GetCallerIdentityResponse").object("GetCallerIdentityResult")
	arn, okARN := result.text("Arn")
	account, okAccount := result.text("Account")
	userID, okUser := result.text("UserId")
	if !okARN || !okAccount || !okUser {
		return odd("lacks Arn, Account or UserId")
	}
	return newIdentity(partition, arn, account, userID)
}

// refusal parses any other status: it is a denial only if STS's own error document has
// a known code.
func refusal(status int, contentType string, body []byte) error {
	code := errorCode(contentType, body)
	switch {
	case throttles[code] || status == http.StatusTooManyRequests:
		return &UnavailableError{Throttled: true, Status: status, Reason: "throttled"}
	case denials[code] && status >= 400 && status < 500:
		return &DeniedError{Code: code, Status: status}
	}
	return &UnavailableError{Status: status, Reason: fmt.Sprintf("HTTP status %d without an STS error document that denies the token", status)}
}

// errorCode returns the code of an STS error document: JSON, as requested, or the XML
// of AWS's front ends. Anything else has no code.
func errorCode(contentType string, body []byte) string {
	if len(body) > maxReply || !utf8.Valid(body) {
		return ""
	}
	switch contentType {
	case "application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1":
		doc, err := strictJSON(body)
		if err != nil {
			return ""
		}
		code, _ := doc.object("Error").text("Code")
		return code
	case "text/xml", "application/xml":
		var doc struct {
			XMLName xml.Name `xml:"ErrorResponse"`
			Error   struct{ Code string }
		}
		if xml.Unmarshal(body, &doc) != nil {
			return ""
		}
		return doc.Error.Code
	}
	return ""
}
