#include "services/rpc/errors.h"

#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "absl/strings/cord.h"
#include "services/base/strings.h"

namespace consul::rpc {
namespace {

using errors::v1::Reason;

std::vector<Reason> AllReasons() {
  std::vector<Reason> reasons;
  const auto* const type = errors::v1::Reason_descriptor();
  for (int i = 0; i < type->value_count(); ++i) {
    if (type->value(i)->number() != errors::v1::REASON_UNSPECIFIED) {
      reasons.push_back(static_cast<Reason>(type->value(i)->number()));
    }
  }
  return reasons;
}

// A status as a newer server sends it.
absl::Status WithReason(absl::StatusCode code, int reason) {
  errors::v1::ErrorDetail detail;
  detail.set_reason(static_cast<Reason>(reason));
  absl::Status status(code, "text");
  status.SetPayload(base::ToAbsl(kDetailUrl), absl::Cord(detail.SerializeAsString()));
  return status;
}

TEST(ErrorsTest, EveryReasonHasACodeAndAnHttpStatus) {
  ASSERT_GE(AllReasons().size(), 14);
  for (const Reason reason : AllReasons()) {
    const absl::Status status = Error(reason, "text");
    EXPECT_FALSE(status.ok()) << Reason_Name(reason);
    EXPECT_EQ(Detail(status).reason(), reason);
    const int http = HttpStatus(status);
    EXPECT_GE(http, 400) << Reason_Name(reason);
    EXPECT_LT(http, 600) << Reason_Name(reason);
    // UNKNOWN is the code of what nobody thought of, and of an outcome that nobody knows.
    EXPECT_EQ(status.code() == absl::StatusCode::kUnknown,
              reason == errors::v1::REASON_OUTCOME_UNKNOWN)
        << Reason_Name(reason);
  }
}

TEST(ErrorsTest, ARequestAtFaultIsAFourHundred) {
  for (const Reason reason : {errors::v1::REASON_INVALID_FIELD, errors::v1::REASON_MISSING_FIELD,
                              errors::v1::REASON_CONFLICTING_FIELDS}) {
    EXPECT_EQ(HttpStatus(Error(reason, "x")), 400);
    EXPECT_EQ(Error(reason, "x").code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(HttpStatus(Error(errors::v1::REASON_TOO_LARGE, "x")), 413);
}

TEST(ErrorsTest, WhatAClientMayTryAgainIsToldApart) {
  EXPECT_EQ(Error(errors::v1::REASON_NO_LEADER, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Error(errors::v1::REASON_SHUTTING_DOWN, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Error(errors::v1::REASON_OUTCOME_UNKNOWN, "x").code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(HttpStatus(Error(errors::v1::REASON_OVERLOADED, "x")), 429);
  EXPECT_EQ(HttpStatus(Error(errors::v1::REASON_DISK_FULL, "x")), 500);
}

TEST(ErrorsTest, TextAndSubjectAreKept) {
  const absl::Status status = Error(errors::v1::REASON_INVALID_FIELD, "Invalid wait time", "wait");
  EXPECT_EQ(status.message(), "Invalid wait time");
  EXPECT_EQ(Detail(status).subject(), "wait");
  EXPECT_EQ(Detail(Error(errors::v1::REASON_INVALID_FIELD, "x")).subject(), "");
}

TEST(ErrorsTest, ASubjectThatIsNoUtf8LeavesTheReasonItsPlace) {
  const absl::Status status = Error(errors::v1::REASON_TOO_LARGE, "x", "key \xff");
  EXPECT_EQ(Detail(status).reason(), errors::v1::REASON_TOO_LARGE);
  EXPECT_EQ(Detail(status).subject(), "key \uFFFD");
}

TEST(ErrorsTest, AStatusWithoutADetailHasNoReason) {
  EXPECT_EQ(Detail(absl::InternalError("x")).reason(), errors::v1::REASON_UNSPECIFIED);
  EXPECT_EQ(Detail(absl::OkStatus()).reason(), errors::v1::REASON_UNSPECIFIED);
}

TEST(ErrorsTest, ADetailThatDoesNotParseIsNone) {
  absl::Status status = absl::InternalError("x");
  status.SetPayload(base::ToAbsl(kDetailUrl), absl::Cord("\xff\xff"));
  EXPECT_EQ(Detail(status).reason(), errors::v1::REASON_UNSPECIFIED);
  EXPECT_EQ(Detail(status).subject(), "");
  EXPECT_EQ(HttpStatus(status), 500);
}

TEST(ErrorsTest, WithoutAReasonTheCodeSays) {
  EXPECT_EQ(HttpStatus(absl::OkStatus()), 200);
  EXPECT_EQ(HttpStatus(absl::InvalidArgumentError("x")), 400);
  EXPECT_EQ(HttpStatus(absl::OutOfRangeError("x")), 400);
  EXPECT_EQ(HttpStatus(absl::UnauthenticatedError("x")), 403);
  EXPECT_EQ(HttpStatus(absl::PermissionDeniedError("x")), 403);
  EXPECT_EQ(HttpStatus(absl::UnimplementedError("x")), 501);
  EXPECT_EQ(HttpStatus(absl::ResourceExhaustedError("x")), 429);
  EXPECT_EQ(HttpStatus(absl::InternalError("x")), 500);
  EXPECT_EQ(HttpStatus(absl::CancelledError("x")), 500);
}

TEST(ErrorsTest, AReasonOfANewerServerGoesByItsCode) {
  EXPECT_EQ(HttpStatus(WithReason(absl::StatusCode::kInvalidArgument, 999)), 400);
  EXPECT_EQ(HttpStatus(WithReason(absl::StatusCode::kInternal, 999)), 500);
}

}  // namespace
}  // namespace consul::rpc
