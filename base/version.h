/*
 * base/version.h - the one place that knows which release this is.
 */
#ifndef DARTER_BASE_VERSION_H
#define DARTER_BASE_VERSION_H

#define DARTER_VERSION      "0.1.0"
#define DARTER_RELEASE_DATE "November 22, 2026" /* as mdoc prints dates */

#endif
