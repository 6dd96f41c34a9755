module github.com/ekskey/ekskey/interop

go 1.26.0
