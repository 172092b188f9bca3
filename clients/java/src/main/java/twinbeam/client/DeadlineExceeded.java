package twinbeam.client;

/** The deadline came before the answer. */
public final class DeadlineExceeded extends TwinbeamException {
    private static final long serialVersionUID = 1L;

    DeadlineExceeded(String message) {
        super(message, null);
    }
}
