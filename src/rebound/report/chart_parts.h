// What the Vega-Lite specs of several charts share.
#pragma once

#include "rebound/base/json.h"

namespace rebound::chart_parts {

// An encoding channel; a null title leaves it out.
Json field(const char* name, const char* type, const char* title);
// 0 to 100 %, with room above for an interval's end.
Json rate_axis(const char* name);
// As wide as the page lets it be.
Json with_data(const Json& values);
// At most four significant digits: more would only be bytes.
double rounded(double value);

}  // namespace rebound::chart_parts
