// Injection controls: can this budget and constraint write anything at all, and at what price per
// nat of gap? (method.md section 4, specificity.)
#pragma once

#include "rebound/audit/controls.h"

namespace rebound {

Row inject_row(const AuditSpec& spec, InjectTarget target);

}  // namespace rebound
