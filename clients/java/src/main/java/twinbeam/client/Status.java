package twinbeam.client;

/** Why a value is what it is. */
public enum Status {
    PRESENT,
    NULL_VALUE,
    NOT_FOUND,
    OUTSIDE_MAX_AGE,
    OVERFLOW
}
