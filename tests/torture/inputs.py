def campaign(folder, tally):
    pass
