// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/s3/certificates.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>

#include "base/check.h"

namespace s3crate::test::strict {
namespace {

template <auto free>
struct Free {
  template <typename T>
  void operator()(T* pointer) const {
    free(pointer);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Free<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;

constexpr long kDay = 24 * 60 * 60;

std::string text_of(BIO* bio) {
  char* data = nullptr;
  long length = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(length)};
}

std::string pem(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate) == 1);
  return text_of(bio.get());
}

std::string pem(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return text_of(bio.get());
}

void extend(X509* certificate, X509* issuer, int what, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, what, value);
  CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

// With a null issuer it signs itself, and is a CA unless it has names.
X509Ptr make(EVP_PKEY* key, const char* common_name, const char* names, long from, long until,
             X509* issuer, EVP_PKEY* issuer_key) {
  static long serial = 1;
  X509Ptr out(X509_new());
  CHECK(X509_set_version(out.get(), X509_VERSION_3) == 1);
  CHECK(ASN1_INTEGER_set(X509_get_serialNumber(out.get()), serial++) == 1);
  CHECK(X509_gmtime_adj(X509_getm_notBefore(out.get()), from) != nullptr);
  CHECK(X509_gmtime_adj(X509_getm_notAfter(out.get()), until) != nullptr);
  X509_NAME* name = X509_get_subject_name(out.get());
  CHECK(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                   reinterpret_cast<const unsigned char*>(common_name), -1, -1,
                                   0) == 1);
  X509* signer = issuer == nullptr ? out.get() : issuer;
  CHECK(X509_set_issuer_name(out.get(), X509_get_subject_name(signer)) == 1);
  CHECK(X509_set_pubkey(out.get(), key) == 1);
  extend(out.get(), signer, NID_subject_key_identifier, "hash");
  if (names == nullptr) {
    extend(out.get(), signer, NID_basic_constraints, "critical,CA:TRUE");
    extend(out.get(), signer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    extend(out.get(), signer, NID_subject_alt_name, names);
    extend(out.get(), signer, NID_ext_key_usage, "serverAuth");
  }
  CHECK(X509_sign(out.get(), issuer_key == nullptr ? key : issuer_key, EVP_sha256()) > 0);
  return out;
}

}  // namespace

std::optional<CertificateKind> certificate_kind(std::string_view name) {
  constexpr std::array<std::string_view, 5> kNames = {"good", "expired", "self_signed",
                                                      "wrong_host", "other_ca"};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return CertificateKind(i);
  }
  return std::nullopt;
}

Certificate make_certificate(CertificateKind kind) {
  Key ca_key(EVP_EC_gen("P-256")), other_key(EVP_EC_gen("P-256")), key(EVP_EC_gen("P-256"));
  X509Ptr ca = make(ca_key.get(), "Test CA", nullptr, -30 * kDay, 30 * kDay, nullptr, nullptr);
  X509Ptr other =
      make(other_key.get(), "Other CA", nullptr, -30 * kDay, 30 * kDay, nullptr, nullptr);
  const char* names = kind == CertificateKind::kWrongHost
                          ? "DNS:example.org"
                          : "IP:127.0.0.1,DNS:localhost,DNS:*.localhost";
  long until = kind == CertificateKind::kExpired ? -kDay : 30 * kDay;
  bool self = kind == CertificateKind::kSelfSigned;
  bool by_other = kind == CertificateKind::kOtherCa;
  X509* issuer = self ? nullptr : by_other ? other.get() : ca.get();
  EVP_PKEY* issuer_key = self ? nullptr : by_other ? other_key.get() : ca_key.get();
  X509Ptr certificate = make(key.get(), "strict S3", names, -10 * kDay, until, issuer, issuer_key);
  return {pem(certificate.get()), pem(key.get()), pem(ca.get())};
}

}  // namespace s3crate::test::strict
